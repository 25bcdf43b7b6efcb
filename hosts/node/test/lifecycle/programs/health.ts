// SPDX-License-Identifier: Apache-2.0
// The loop stays free: of slow guests, of the GIL, of libuv's thread pool, of load.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { load, type Runtime } from 'polyloop'
import { ownGuest, pythonGuest, rustGuest } from '../paths.ts'
import { play, sleep, tell, until } from './support.ts'

const request = Buffer.alloc(512, 'x')
const locators = { rust: rustGuest, python: pythonGuest }

/** Calls without end, `outstanding` at a time, until `over`; returns how many were answered. */
async function keepBusy(guest: Runtime, outstanding: number, over: () => boolean): Promise<number> {
  let answered = 0
  const lane = async (): Promise<void> => {
    while (!over()) {
      await guest.send(request)
      answered++
    }
  }
  await Promise.all(Array.from({ length: outstanding }, lane))
  return answered
}

/** A call that does not end before it is given up. */
const forever = (guest: Runtime, signal: AbortSignal): Promise<unknown> =>
  guest.call('sleep_ms', 1_000_000_000, { signal }).catch((error) => error.code)

/** A clock of the loop's own: how often an interval fired. */
function ticker(ms: number): { count: number; stop(): void } {
  const ticks = { count: 0, stop: () => clearInterval(timer) }
  const timer = setInterval(() => ticks.count++, ms)
  return ticks
}

await play({
  /** The thread pool has one thread here, by UV_THREADPOOL_SIZE. */
  pool: async () => {
    const guest = await load(locators[process.argv[3] as 'rust' | 'python'], { threads: 8 })
    const order: string[] = []
    const stop = new AbortController()
    const slow = Array.from({ length: 8 }, () => forever(guest, stop.signal).then(() => order.push('call')))
    await sleep(20)
    await readFile(fileURLToPath(import.meta.url))
    order.push(`file with ${guest.stats().inFlight} in flight`)
    stop.abort()
    await Promise.all(slow)
    tell(order)
  },
  gil: async () => {
    const [python, rust] = [await load(pythonGuest), await load(rustGuest)]
    const ticks = ticker(10)
    let over = false
    const held = python.hold_gil?.(1).then(() => ticks.count)
    const rusty = keepBusy(rust, 1, () => over)
    await until(() => ticks.count >= 5)
    // While it is held, more calls go to the same runtime: they wait, and the loop does not.
    const behind = Array.from({ length: 100 }, () => python.send(request).then(() => ticks.count))
    const large = python.send(Buffer.alloc(1 << 20)).then(() => ticks.count)
    const submitted = ticks.count
    const answered = Math.min(...(await Promise.all([...behind, large])))
    const until1 = await held
    over = true
    const rustAnswers = await rusty
    ticks.stop()
    tell({ ticks: until1, submitted, answered, rustAnswers })
  },
  fair: async () => {
    const guests = [
      await load(rustGuest, { config: { number: 1 } }),
      await load(rustGuest, { config: { number: 2 } }),
      await load(pythonGuest),
    ]
    const windows: { counts: number[]; ticks: number }[] = []
    for (let window = 0; window < 5; window++) {
      const ticks = ticker(1)
      const start = performance.now()
      const over = (): boolean => performance.now() - start > 500
      windows.push({ counts: await Promise.all(guests.map((guest) => keepBusy(guest, 64, over))), ticks: ticks.count })
      ticks.stop()
    }
    tell(windows)
  },
  timer: async () => {
    const guest = await load(locators[process.argv[3] as 'rust' | 'python'])
    const ticks = ticker(1)
    const start = performance.now()
    const answered = await keepBusy(guest, 1024, () => performance.now() - start > 1500)
    const seconds = (performance.now() - start) / 1000
    ticks.stop()
    tell({ ticks: ticks.count, answered, perSecond: Math.round(ticks.count / seconds) })
  },
  'side-by-side': async () => {
    const rust = await load<{ threads_seen(): number }>(rustGuest, { threads: Number(process.argv[3]) })
    const seen = await Promise.all(Array.from({ length: 4 }, () => rust.threads_seen()))
    tell(Math.max(...seen))
  },
  meet: async () => {
    const python = await load<{ meet(parties: number): number }>(ownGuest, { threads: 4 })
    tell(await Promise.all(Array.from({ length: 4 }, () => python.meet(4))))
  },
  'one-by-one': async () => {
    const python = await load<{ most_at_once(): number }>(ownGuest, { threads: 1 })
    tell(Math.max(...(await Promise.all(Array.from({ length: 5 }, () => python.most_at_once())))))
  },
  /** A quick call behind a slow one, submitted together or later, while the loop is idle or busy. */
  help: async () => {
    const [, , , language, spin] = process.argv
    const guest = await load(locators[language as 'rust' | 'python'], { threads: 2, spin: spin === 'spin' })
    const order: string[] = []
    const stop = new AbortController()
    const slow = forever(guest, stop.signal).then(() => order.push('slow'))
    const together = guest.send(request).then(() => order.push('together'))
    await together
    await sleep(50)
    for (let call = 0; call < 200; call++) await guest.send(request)
    order.push('later')
    stop.abort()
    await slow
    tell(order)
  },
})
