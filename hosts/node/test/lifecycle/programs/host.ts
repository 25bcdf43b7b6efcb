// SPDX-License-Identifier: Apache-2.0
// A host that does what its test asks for, in messages of its parent: it loads one guest, which is shared.
import { readdirSync, readlinkSync } from 'node:fs'
import { parentPort, threadId } from 'node:worker_threads'
import { type LoadOptions, load as loadGuest, type PolyloopError, type Runtime, type RuntimeEvent } from 'polyloop'
import { digest, pattern } from '../../support/bytes.ts'
import type { Asked, Outcome } from '../hosts.ts'
import { contract } from './contract.ts'

/** Calls without end, and what came of them. */
interface Load {
  over: boolean
  calls: number
  wrong: number
  readonly codes: string[]
  /** Lines that the guest was to add to a file. */
  readonly marks: string[]
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

/**
 * Has bytes of this host's own, small and large, echoed, and compares what comes back.
 *
 * @param file - what the guest is to add lines to
 */
async function lane(load: Load, first: number, file: string | undefined): Promise<void> {
  for (let index = first; !load.over; index++) {
    const bytes = pattern(index % 8 === 0 ? 50_000 : 200 + (index % 3) * 2000, process.pid + index)
    try {
      const answer = (await guest.call('echo', [bytes])) as Buffer
      load.calls++
      if (digest(answer) !== digest(bytes)) load.wrong++
      if (file !== undefined) await mark(load, file, `${process.pid}.${threadId} ${index}`)
    } catch (error) {
      load.codes.push((error as PolyloopError).code)
    }
  }
}

async function mark(load: Load, file: string, line: string): Promise<void> {
  load.marks.push(line)
  await method('append', [file, line])
  load.calls++
}

function flood(file?: string): void {
  const begun: Load = { over: false, calls: 0, wrong: 0, codes: [], marks: [], lanes: [] }
  begun.lanes = Array.from({ length: 16 }, (_, index) => lane(begun, index * 1_000_000, file))
  load = begun
}

/** A stream that is read. */
let reading: AsyncIterator<unknown>

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
  context: async (tag) => guest.call('trace', [], { context: { tag } }),
  flood: async () => flood(),
  mark: async (path) => flood(path),
  flooded: async () => load?.calls ?? 0,
  calm: async () => {
    const begun = load as Load
    begun.over = true
    await Promise.all(begun.lanes)
    const { calls, wrong, codes, marks } = begun
    return { calls, wrong, codes, marks }
  },
  read: async (name, ...args) => {
    reading = guest.stream(name, args)[Symbol.asyncIterator]()
    await reading.next()
  },
  rest: async () => {
    let items = 1
    while ((await reading.next()).done !== true) items++
    return items
  },
  types: async () => events.map(({ type }) => type),
  told: async (wanted) => events.filter(({ type }) => type === wanted).map(({ pid }) => pid),
  reloads: async () => guest.stats().reloads,
  printed: async () => printed,
  unload: () => guest.unload(),
  /** Loads and unloads, with a call in between. */
  cycle: async (rounds, locator, options) => {
    for (let round = 0; round < rounds; round++) {
      await start(locator, options)
      const bytes = pattern(3000, process.pid + round)
      if (digest((await guest.call('echo', [bytes])) as Buffer) !== digest(bytes)) throw new Error('a wrong answer')
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

const answer = (...said: unknown[]): unknown =>
  parentPort === null ? process.send?.(said) : parentPort.postMessage(said)
const from = parentPort ?? process

from.on('message', ([id, name, args]: [number, keyof Asked, never[]]) => {
  const ask = asked[name] as (...args: never[]) => Promise<unknown>
  ask(...args).then(
    (value) => answer(id, value),
    (error: Error) => answer(id, undefined, error.message),
  )
})
