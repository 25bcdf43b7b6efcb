// SPDX-License-Identifier: Apache-2.0
// A host that does what its test asks for, in messages of its parent: it loads one guest, which is shared.
import { readdirSync, readlinkSync } from 'node:fs'
import {
  type LoadOptions,
  load as loadGuest,
  type PolyloopError,
  type Runtime,
  type RuntimeEvent,
} from '../../index.ts'
import { digest, pattern } from '../../testing/bytes.ts'
import type { Asked, Outcome } from '../hosts.ts'
import { contract } from './contract.ts'

/** Calls without end, and what came of them. */
interface Load {
  over: boolean
  calls: number
  wrong: number
  readonly codes: string[]
  lanes: Promise<void>[]
}

let guest: Runtime
const events: RuntimeEvent[] = []
const printed: string[] = []
/** Calls that are begun, and that nobody has asked for yet. */
let begun: Promise<Outcome>[] = []
let load: Load | undefined

const pidOf = (): number | undefined => guest.stats().instances[0]?.pid

async function start(locator: string, options: LoadOptions): Promise<number | undefined> {
  guest = await loadGuest(locator, {
    placement: 'process',
    shared: true,
    onEvent: (event) => events.push(event),
    log: (text, _, { pid }) => printed.push(`${pid}: ${text}`),
    ...options,
  })
  return pidOf()
}

function outcome(call: Promise<unknown>): Promise<Outcome> {
  return call.then(
    (value) => ({ value }),
    ({ code, message, exit }: PolyloopError) => ({ code, message, ...(exit !== undefined && { exit }) }),
  )
}

/** Calls a function as a method: it may have several arguments. */
const method = (name: string, args: unknown[]): Promise<unknown> => guest[name]?.(...args) as Promise<unknown>

/** Has bytes of this host's own, small and large, echoed, and compares what comes back. */
async function lane(load: Load, first: number): Promise<void> {
  for (let index = first; !load.over; index++) {
    const bytes = pattern(index % 8 === 0 ? 50_000 : 200 + (index % 3) * 2000, process.pid + index)
    try {
      const answer = (await guest.call('echo', bytes)) as Buffer
      load.calls++
      if (digest(answer) !== digest(bytes)) load.wrong++
    } catch (error) {
      load.codes.push((error as PolyloopError).code)
    }
  }
}

const asked: Asked = {
  load: start,
  tryToLoad: (locator, options) => outcome(start(locator, options)),
  pid: async () => pidOf(),
  call: (name, ...args) => method(name, args),
  outcome: (name, ...args) => outcome(method(name, args)),
  begin: async (count, name, ...args) => {
    begun = Array.from({ length: count }, () => outcome(method(name, args)))
  },
  outcomes: () => Promise.all(begun),
  contract: () => contract(guest),
  context: async (tag) => guest.call('trace', undefined, { context: { tag } }),
  flood: async () => {
    const begun: Load = { over: false, calls: 0, wrong: 0, codes: [], lanes: [] }
    begun.lanes = Array.from({ length: 16 }, (_, first) => lane(begun, first * 1000))
    load = begun
  },
  flooded: async () => load?.calls ?? 0,
  calm: async () => {
    const { calls, wrong, codes, lanes } = Object.assign(load as Load, { over: true })
    await Promise.all(lanes)
    return { calls, wrong, codes }
  },
  types: async () => events.map(({ type }) => type),
  printed: async () => printed,
  unload: () => guest.unload(),
  /** Loads and unloads, with a call in between. */
  cycle: async (rounds, locator, options) => {
    for (let round = 0; round < rounds; round++) {
      await start(locator, options)
      const bytes = pattern(3000, process.pid + round)
      if (digest((await guest.call('echo', bytes)) as Buffer) !== digest(bytes)) throw new Error('a wrong answer')
      await guest.unload()
    }
  },
  reload: () => outcome(guest.reload()),
  descriptors: async () =>
    readdirSync('/proc/self/fd').flatMap((name) => {
      try {
        return [readlinkSync(`/proc/self/fd/${name}`).replace(/\d+/g, '')].filter((file) => /memfd|socket/.test(file))
      } catch {
        return []
      }
    }),
  exit: async () => process.exit(0),
}

process.on('message', ([id, name, args]: [number, keyof Asked, never[]]) => {
  const ask = asked[name] as (...args: never[]) => Promise<unknown>
  ask(...args).then(
    (value) => process.send?.([id, value]),
    (error: Error) => process.send?.([id, undefined, error.message]),
  )
})
