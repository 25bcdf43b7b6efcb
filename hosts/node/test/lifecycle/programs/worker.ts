// SPDX-License-Identifier: Apache-2.0
// What runs in the workers of workers.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { load } from './support.ts'

/** What a worker is to do. */
export interface Job {
  readonly scenario: 'own' | 'natural' | 'exits' | 'throws' | 'waits' | 'in-flight' | 'never' | 'busy' | 'loads'
  readonly locator: string
  readonly config?: unknown
}

/** What it says when its calls are in flight. */
export interface Said {
  readonly config?: unknown
  readonly count?: number
  readonly calls?: number
}

const { scenario, locator, config } = workerData as Job
const forever = 1_000_000_000
const request = Buffer.alloc(2000, 'x')
const say = (said: Said): void => parentPort?.postMessage(said)
const quiet = (call: Promise<unknown> | undefined): void => void call?.catch(() => undefined)

const options = config === undefined ? {} : { config }
const guest = await load(locator, options)

/** Calls without end: some wait long, most are quick. */
function keepBusy(): void {
  for (let call = 0; call < 3; call++) quiet(guest.sleep_ms?.(30))
  const lane = async (): Promise<void> => {
    while (true) await guest.send(request)
  }
  for (let count = 0; count < 32; count++) quiet(lane())
  if (guest.methods.some(({ name }) => name === 'endless')) keepStreaming()
}

/** Streams without end, in both directions; one that nobody reads on. */
function keepStreaming(): void {
  const read = async (stream: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of stream);
  }
  async function* words(): AsyncGenerator<string> {
    while (true) yield 'word'
  }
  quiet(read(guest.stream('endless')))
  quiet(read(guest.stream('endless_async')))
  quiet(read(guest.stream('upper', [words()])))
  quiet(guest.stream('endless').next())
}

const scenarios: Record<Job['scenario'], () => unknown> = {
  own: async () => {
    const own = await load<{ count(): number; config(): unknown }>(locator, options)
    for (let call = 0; call < 9; call++) await own.count()
    say({ config: await own.config(), count: await own.count(), calls: own.stats().calls })
  },
  natural: () => guest.send(request),
  waits: async () => {
    await guest.sleep_ms?.(200)
    process.exitCode = 7
  },
  exits: () => {
    keepBusy()
    setTimeout(() => process.exit(5), 20)
  },
  // An uncaught exception with calls in flight.
  throws: () => {
    keepBusy()
    setTimeout(() => {
      throw new Error('on purpose')
    }, 20)
  },
  'in-flight': () => {
    parentPort?.on('message', () => process.exit(1))
    keepBusy()
    say({})
  },
  never: () => {
    quiet(guest.sleep_ms?.(forever))
    quiet(guest.sleep_async?.(forever))
    say({})
  },
  busy: () => {
    quiet(guest.methods.some(({ name }) => name === 'hold_gil') ? guest.hold_gil?.(1000) : guest.spin_ms?.(1_000_000))
    say({})
  },
  loads: () => say({}),
}

await scenarios[scenario]()
