// SPDX-License-Identifier: Apache-2.0
// Programs that end in one way or another. The second argument is the guest's locator.
import { readdirSync, readFileSync } from 'node:fs'
import { isMainThread, Worker } from 'node:worker_threads'
import type { Runtime } from 'polyloop'
import { load, play, sleep, tell, until } from './support.ts'

const locator = process.argv[3] ?? ''
interface Fixture {
  handle(bytes: Uint8Array): Buffer
  sleep_ms(ms: number): number
  log_lines(count: number): void
}

const forever = 1_000_000_000
const say = (text: string): void => console.log(text)

/** Takes a call's rejection, as a program that goes on would. */
const quiet = (call: Promise<unknown>): void => void call.catch(() => undefined)

/** The library that has the function `compute`: the third argument. */
const library = process.argv[4] ?? ''

/** Waits until a thread of this process computes. */
function computing(): Promise<void> {
  return until(() =>
    readdirSync('/proc/self/task').some((thread) => {
      try {
        return readFileSync(`/proc/self/task/${thread}/comm`, 'latin1') === 'computes\n'
      } catch {
        return false
      }
    }),
  )
}

/**
 * Begins a call that computes for ever, and says more than a pipe holds when the program ends, but no more than a socket
 * does: beyond that Node.js 22 loses what is printed at the end, with or without guests.
 */
async function compute(signal?: AbortSignal): Promise<{ readonly guest: Runtime; readonly call: Promise<unknown> }> {
  if (isMainThread) process.on('exit', (code) => say(`${'-'.repeat(100_000)}\nexit ${code}`))
  const guest = await load(locator)
  const call = guest.call('compute', [library], signal && { signal })
  quiet(call)
  await computing()
  return { guest, call }
}

await play({
  'computing-exit': async () => {
    await compute()
    process.exit(3)
  },
  'computing-throws': async () => {
    await compute()
    setImmediate(() => {
      throw new Error('on purpose')
    })
  },
  'computing-given-up': async () => {
    const stop = new AbortController()
    const { call } = await compute(stop.signal)
    stop.abort()
    await call.catch((error) => say(error.code))
  },
  'computing-loading': async () => {
    process.on('exit', (code) => say(`exit ${code}`))
    quiet(load(locator, { config: { computes: library } }))
    await computing()
    process.exit(3)
  },
  'computing-unloading': async () => {
    const { guest } = await compute()
    quiet(guest.unload())
    await sleep(20)
    process.exit(3)
  },
  'computing-worker': async () => {
    if (!isMainThread) return compute()
    process.on('exit', (code) => say(`exit ${code}`))
    new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
    await computing()
    process.exit(3)
  },
  'computing-and-reading': async () => {
    process.stdin.on('data', () => undefined)
    await compute()
    process.exit(3)
  },
  'idle-exit': async () => {
    const guest = await load(locator)
    await guest.tell_of_closing?.()
    process.exit(3)
  },
  settled: async () => {
    const guest = await load(locator)
    await guest.send(Buffer.from('ping'))
    say('answered')
  },
  many: async () => {
    const guest = await load(locator)
    await Promise.all(Array.from({ length: 5000 }, () => guest.send(Buffer.alloc(5000))))
    say('answered')
  },
  slow: async () => {
    const guest = await load(locator)
    await guest.sleep_ms?.(500)
    say('answered')
  },
  asynchronous: async () => {
    const guest = await load(locator)
    await guest.sleep_async?.(500)
    say('answered')
  },
  waiting: async () => {
    const guest = await load(locator, { maxCalls: 1, threads: 1 })
    for (let call = 0; call < 4; call++) guest.sleep_ms?.(50).then(() => say(`answered ${call}`))
  },
  loaded: () => load(locator),
  loading: () => quiet(load(locator)),
  failing: () => quiet(load('rust:./no-such-library.so')),
  'never-awaits': async () => {
    const guest = await load(locator)
    guest.sleep_ms?.(300).then(() => say('answered'))
  },
  'before-exit': async () => {
    const guest = await load(locator)
    let left = 2
    process.on('beforeExit', async () => {
      if (left-- <= 0) return
      await guest.sleep_ms?.(20)
      say('answered before the exit')
    })
  },
  'unloads-before-exit': async () => {
    const guest = await load(locator)
    process.once('beforeExit', () => void guest.unload().then(() => say('unloaded')))
  },
  exit: async () => {
    const guest = await load(locator)
    for (let call = 0; call < 20; call++) quiet(guest.sleep_ms?.(forever) as Promise<unknown>)
    quiet(guest.sleep_async?.(forever) as Promise<unknown>)
    await sleep(20)
    process.exit(3)
  },
  'exit-under-load': async () => {
    const guest = await load(locator)
    const lane = async (): Promise<void> => {
      while (true) await guest.send(Buffer.alloc(2000))
    }
    for (let count = 0; count < 64; count++) void lane()
    await sleep(50)
    process.exit(3)
  },
  'exit-in-streams': async () => {
    const guest = await load(locator)
    async function* words(): AsyncGenerator<string> {
      while (true) yield 'word'
    }
    const read = async (stream: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of stream);
    }
    quiet(read(guest.stream('endless')))
    quiet(read(guest.stream('upper_async', [words()])))
    quiet(guest.stream('endless_async').next())
    await sleep(50)
    process.exit(3)
  },
  streamed: async () => {
    const guest = await load(locator)
    for await (const item of guest.stream('endless')) if (item === 1000) break
    let last: unknown
    for await (const item of guest.stream('count', [1000])) last = item
    // The end comes with the item, and before the reader hears of it.
    for (let time = 0; time < 100; time++) for await (const _ of guest.stream('count', [1])) break
    say(`answered ${last}`)
  },
  'exit-in-load': async () => {
    quiet(load(locator))
    await sleep(Number(process.argv[4]))
    process.exit(3)
  },
  throws: async () => {
    const guest = await load(locator)
    for (let call = 0; call < 20; call++) quiet(guest.sleep_ms?.(forever) as Promise<unknown>)
    await sleep(20)
    setImmediate(() => {
      throw new Error('on purpose')
    })
  },
  rejects: async () => {
    const guest = await load(locator)
    quiet(guest.sleep_ms?.(forever) as Promise<unknown>)
    void guest.send(Buffer.alloc(1)).then(() => {
      throw new Error('on purpose')
    })
  },
  signal: async () => {
    const guest = await load(locator)
    for (let call = 0; call < 20; call++) quiet(guest.sleep_ms?.(forever) as Promise<unknown>)
    await sleep(20)
    say('ready')
    setInterval(() => undefined, 1000)
  },
  cancelled: async () => {
    const guest = await load(locator)
    const stop = new AbortController()
    const options = { signal: stop.signal }
    const calls = [
      guest.call('sleep_ms', [forever], options),
      guest.call('sleep_async', [forever], options),
      guest.call('sleep_ms', [forever], { deadline: Date.now() + 100 }),
    ]
    await sleep(50)
    stop.abort()
    const ended = await Promise.allSettled(calls)
    say(ended.map((one) => (one.status === 'rejected' ? one.reason.code : one.status)).join(' '))
  },
  'cancelled-with-others': async () => {
    const guest = await load(locator, { maxCalls: 2, threads: 2 })
    const call = guest.call('sleep_ms', [forever], { signal: AbortSignal.timeout(50) })
    const waiting = Array.from({ length: 5 }, () => guest.sleep_ms?.(20))
    await call.catch((error) => say(error.code))
    await Promise.all(waiting)
    say('answered')
  },
  'cancelled-then-unloaded': async () => {
    const guest = await load(locator, { threads: 2 })
    const call = guest.call('sleep_ms', [300], { signal: AbortSignal.timeout(20) })
    await call.catch((error) => say(error.code))
    await guest.unload()
    say('unloaded')
  },
  'log-throws': async () => {
    let caught = 0
    process.on('uncaughtException', () => caught++)
    const log = (): void => {
      throw new Error('from the log')
    }
    const guest = await load<Fixture>(locator, { log, threads: 1 })
    let right = 0
    const echo = async (lane: number): Promise<void> => {
      for (let call = 0; call < 10; call++) {
        const [one, other] = await guest.send(Buffer.of(lane, call))
        if (one === lane && other === call) right++
      }
    }
    for (let round = 0; round < 5; round++) {
      const lanes = Array.from({ length: 20 }, (_, lane) => echo(lane))
      const logged = guest.log_lines(1)
      // Answers, what was printed and its answer are drained together, in this order.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
      await Promise.all([logged, ...lanes])
    }
    tell({ caught: caught > 0, right, late: guest.stats().late })
  },
  refused: async () => {
    const guest = await load<Fixture>(locator, { maxCalls: 1, whenFull: 'fail' })
    const first = guest.sleep_ms(300)
    await guest.call('sleep_ms', [1], { deadline: Date.now() + 50 }).catch((error) => say(error.code))
    await first
    say('answered')
  },
  'exit-holding-gil': async () => {
    const guest = await load(locator)
    quiet(guest.hold_gil?.(100) as Promise<unknown>)
    await sleep(100)
    process.exit(3)
  },
})
