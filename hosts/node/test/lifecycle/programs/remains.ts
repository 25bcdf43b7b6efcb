// SPDX-License-Identifier: Apache-2.0
// Hosts whose guests start programs, and hosts that end in the middle of things. The second argument says whether the
// guest is shared.
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { type LoadOptions, load, type PolyloopError } from 'polyloop'
import { ownGuest, pythonGuest, rustGuest } from '../paths.ts'
import { collect, play, sleep, tell, until } from './support.ts'

const isShared = process.argv[3] === 'shared'
const apart: LoadOptions = { placement: 'process', ...(isShared && { shared: true }) }

/** The processes that a guest is and has started. */
async function begin(): Promise<{ unload(): Promise<void>; pids: number[] }> {
  const guest = await load<{ start_programs(): number[] }>(ownGuest, apart)
  const pids = [guest.stats().instances[0]?.pid as number, ...(await guest.start_programs())]
  return { unload: () => guest.unload(), pids }
}

/** The processes of this one, and those that have ended and that nobody has reaped. */
const children = (): string =>
  readdirSync('/proc/self/task')
    .map((thread) => {
      try {
        return readFileSync(`/proc/self/task/${thread}/children`, 'latin1')
      } catch {
        // The thread has ended since.
        return ''
      }
    })
    .join('')
    .trim()

/** The memory files that are open. */
const memories = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('memfd:')
    } catch {
      return false
    }
  }).length

/** Bytes of address space. */
const space = (): number => Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[0]) * 4096

const start = (locator: string, options: LoadOptions): Worker =>
  new Worker(new URL(import.meta.url), { workerData: [locator, options], argv: process.argv.slice(2) })

/** Opens files until no more can be opened. */
function fill(): number[] {
  const open: number[] = []
  try {
    while (true) open.push(openSync('/dev/null', 'r'))
  } catch {
    return open
  }
}

function closeSome(open: number[], count: number): void {
  for (const fd of open.splice(0, count)) closeSync(fd)
}

if (!isMainThread) {
  if (process.argv[2] === 'worker') {
    const { pids } = await begin()
    parentPort?.postMessage(pids)
    await sleep(1_000_000)
  }
  const [locator, options] = workerData as [string, LoadOptions]
  await load(locator, options)
  parentPort?.postMessage('loaded')
  await sleep(1_000_000)
}

await play({
  /** Until something ends it. */
  lasts: async () => {
    tell((await begin()).pids)
    await sleep(1_000_000)
  },
  exits: async () => {
    tell((await begin()).pids)
    process.exit(0)
  },
  crashes: async () => {
    tell((await begin()).pids)
    process.kill(process.pid, 'SIGSEGV')
    await sleep(1_000_000)
  },
  unloads: async () => {
    const { pids, unload } = await begin()
    await unload()
    tell(pids)
    await sleep(1_000_000)
  },
  /** Goes on after the worker whose guest it is. */
  worker: async () => {
    const worker = start('', {})
    const [pids] = (await once(worker, 'message')) as [number[]]
    await worker.terminate()
    tell(pids)
    await sleep(1_000_000)
  },
  /** Workers that are terminated once they have loaded; waits until no process is left, and none to be reaped. */
  terminated: async () => {
    for (let round = 0; round < 12; round++) {
      const worker = start(round % 4 === 3 ? pythonGuest : rustGuest, apart)
      await once(worker, 'message')
      await worker.terminate()
    }
    await until(() => children() === '')
    tell('none')
  },
  /** Workers that are terminated while they load: what they leave. */
  'terminated-in-load': async () => {
    const round = async (number: number): Promise<void> => {
      const onThreads = number % 6 === 5
      const worker = start(onThreads ? pythonGuest : rustGuest, onThreads ? {} : apart)
      await once(worker, 'online')
      await sleep((number * 7) % 60)
      await worker.terminate()
    }
    for (let number = 0; number < 12; number++) await round(number)
    await collect()
    const before = space()
    for (let number = 0; number < 48; number++) await round(number)
    await until(() => children() === '')
    while (memories() > 0) await collect()
    tell({ space: space() - before })
  },
  /** Loads with few descriptors left, and with more: what comes of each. */
  'few-descriptors': async () => {
    await load(rustGuest, apart).then((guest) => guest.unload())
    const outcomes: string[] = []
    const open = fill()
    for (let left = 10; left < 40; left += 2) {
      closeSome(open, left)
      const outcome = await load(rustGuest, { ...apart, config: left }).then(
        (guest) => guest.unload().then(() => 'loaded'),
        ({ name, code, message }: PolyloopError) => `${name} ${code} ${message}`,
      )
      outcomes.push(outcome)
      open.push(...fill())
    }
    closeSome(open, open.length)
    const guest = await load(rustGuest, apart)
    await guest.unload()
    tell(outcomes)
  },
  /** A guest that dies while few descriptors are left is started again once there are more. */
  'few-at-restart': async () => {
    const events: string[] = []
    const guest = await load<{ add(a: number, b: number): number }>(rustGuest, {
      ...apart,
      restart: { minDelay: 1, maxDelay: 50, attempts: 1_000_000 },
      onEvent: ({ type, error }) => events.push(`${type} ${error?.message ?? ''}`),
    })
    const open = fill()
    closeSome(open, 4)
    process.kill(guest.stats().instances[0]?.pid as number, 'SIGKILL')
    const deaths = (): number => events.filter((event) => event.startsWith('crashed')).length
    await until(() => deaths() > 0)
    const call = guest.add(1, 2)
    await until(() => deaths() > 3)
    closeSome(open, open.length)
    tell({ answer: await call, told: events.some((event) => event.includes('ulimit -n')) })
    await guest.unload()
  },
})
