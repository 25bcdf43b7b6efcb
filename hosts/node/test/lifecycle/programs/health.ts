// SPDX-License-Identifier: Apache-2.0
// The loop stays free: of slow guests, of the GIL, of libuv's thread pool, of load.
import { closeSync, existsSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Runtime } from 'polyloop'
import { ownGuest, pythonGuest, rustGuest } from '../paths.ts'
import { load, play, sleep, tell, until } from './support.ts'

const request = Buffer.alloc(512, 'x')
const locators = { rust: rustGuest, python: pythonGuest }

/** Calls without end, `outstanding` at a time, until `over`; returns how many were answered, each of which it tells. */
async function keepBusy(
  guest: Runtime,
  outstanding: number,
  over: () => boolean,
  tell: () => void = () => {},
): Promise<number> {
  let answered = 0
  const lane = async (): Promise<void> => {
    while (!over()) {
      await guest.send(request)
      answered++
      tell()
    }
  }
  await Promise.all(Array.from({ length: outstanding }, lane))
  return answered
}

/** A call that does not end before it is given up. */
const forever = (guest: Runtime, signal: AbortSignal): Promise<unknown> =>
  guest.call('sleep_ms', [1_000_000_000], { signal }).catch((error) => error.code)

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
  /** The third argument is a named pipe: the GIL is held until this program opens it. */
  gil: async () => {
    const [, , , pipe = ''] = process.argv
    const own = await load<{ hold_gil_until(pipe: string): void; count(): number }>(ownGuest)
    const [python, rust] = [await load(pythonGuest), await load(rustGuest)]
    const held = own.hold_gil_until(pipe)
    await until(() => existsSync(`${pipe}.held`))
    const ticks = ticker(10)
    let answered = 0
    const count = (): void => void answered++
    // While it is held, calls of the same interpreter wait, and the loop does not.
    const behind = Array.from({ length: 100 }, () => own.count().then(count))
    behind.push(python.send(request).then(count), python.send(Buffer.alloc(1 << 20)).then(count))
    for (let call = 0; call < 200; call++) await rust.send(request)
    await until(() => ticks.count >= 50)
    ticks.stop()
    const early = answered
    closeSync(openSync(pipe, 'w'))
    await Promise.all([held, ...behind])
    tell({ early, answered })
  },
  /** Until each has had a fair share of a window: which thread runs on fewer processors is the system's. */
  fair: async () => {
    const guests = [
      await load(rustGuest, { config: { number: 1 } }),
      await load(rustGuest, { config: { number: 2 } }),
      await load(pythonGuest),
    ]
    const windows: number[][] = []
    const share = (counts: readonly number[]): number =>
      Math.min(...counts) / counts.reduce((sum, count) => sum + count, 0)
    while (windows.length < 3 || windows.every((counts) => share(counts) < 0.1)) {
      const ticks = ticker(1)
      let answered = 0
      const over = (): boolean => answered >= 30_000 && ticks.count > 25
      const lanes = guests.map((guest) => keepBusy(guest, 64, over, () => answered++))
      windows.push(await Promise.all(lanes))
      ticks.stop()
    }
    tell(windows)
  },
  timer: async () => {
    const guest = await load(locators[process.argv[3] as 'rust' | 'python'])
    const ticks = ticker(1)
    const answered = await keepBusy(guest, 1024, () => ticks.count >= 500)
    ticks.stop()
    tell({ ticks: ticks.count, answered })
  },
  'side-by-side': async () => {
    const threads = Number(process.argv[3])
    const rust = await load<{ threads_seen(): number }>(rustGuest, { threads })
    // A thread may take two calls in a row before another has woken: then all are made again.
    let seen = 0
    while (seen < threads) seen = Math.max(...(await Promise.all(Array.from({ length: 4 }, () => rust.threads_seen()))))
    tell(seen)
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
