// SPDX-License-Identifier: Apache-2.0
// Counts what calls cost: of itself the calls into the add-on, by its marks (for strace) system calls.
// Arguments: locator, bytes, outstanding, calls of a window, windows, and `alloc` for requests in the guest's memory.
import { accessSync, readdirSync, readFileSync } from 'node:fs'
// First: the package takes the functions as they are then.
import { entered } from './entered.ts'
import { collect, flood, load, tell } from './support.ts'

const [locator = '', ...numbers] = process.argv.slice(2)
const isAllocated = numbers.includes('alloc')
const [bytes = 512, outstanding = 1, calls = 1000, windows = 5] = numbers.map(Number)

/** A system call that a trace shows. */
function mark(name: string): void {
  try {
    accessSync(`/polyloop-mark-${name}`)
  } catch {
    // There is no such file.
  }
}

/** How often threads of this process have gone to sleep, by the kernel's count. */
function sleeps(): number {
  let total = 0
  for (const thread of readdirSync('/proc/self/task')) {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8')
    total += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return total
}

const sum = (of: Record<string, number>): number => Object.values(of).reduce((total, one) => total + one, 0)
const guest = await load(locator)
const request = (isAllocated ? guest.alloc(bytes) : Buffer.alloc(bytes)).fill('x')
await flood(5 * calls, outstanding, () => guest.send(request))
await collect()

const found: unknown[] = []
for (let window = 0; window < windows; window++) {
  const [before, stats, slept] = [{ ...entered }, guest.stats(), sleeps()]
  mark(`start-${window}`)
  await flood(calls, outstanding, () => guest.send(request))
  mark(`end-${window}`)
  const [asleep, after, now] = [sleeps() - slept, { ...entered }, guest.stats()]
  const pins = (after.pin ?? 0) - (before.pin ?? 0)
  const slabs = (after.slab ?? 0) - (before.slab ?? 0)
  // The two calls of stats() are `counts`, which the add-on does not count either.
  const all = sum(after) - sum(before) - 1
  const told = now.thread.nativeCalls - stats.thread.nativeCalls
  const bells = (after.doorbell ?? 0) - (before.doorbell ?? 0)
  const [drains, turns] = [now.thread.drains - stats.thread.drains, now.thread.turns - stats.thread.turns]
  const wakeups = now.wakeups - stats.wakeups
  found.push({ calls, all, told, pins, slabs, bells, drains, turns, wakeups, sleeps: asleep })
}
tell(found)
