// SPDX-License-Identifier: Apache-2.0
// Loads, calls, reloads, unloads, deaths and answers in any order, without any process: the runtime, its supervisor, its
// instances and their rings are the real ones, guests' processes are played here. POLYLOOP_SCHEDULES and
// POLYLOOP_SCHEDULES_SEED choose how many schedules, and from where on.
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { inRoot } from '../../test/support/paths.ts'
import type { Call } from '../call/call.ts'
import { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import { entryWords, flag, header, kind, privatePins } from '../common/layout.ts'
import type { LoadOptions } from '../common/options.ts'
import { native } from '../native/addon.ts'
import { unkillableAfter, unknownExit } from '../placement/ending.ts'
import type { OnInstanceEvent } from '../placement/placement.ts'
import type { GuestProcess } from '../placement/process.ts'
import { Connection } from '../ring/connection.ts'
import type { Runtime } from './handle.ts'
import { load } from './load.ts'
import { runtimes } from './registry.ts'
import type { RuntimeCore } from './runtime.ts'

const rounds = Number(process.env.POLYLOOP_SCHEDULES ?? 500)
const firstSeed = Number(process.env.POLYLOOP_SCHEDULES_SEED ?? 1)

const { layouts } = JSON.parse(readFileSync(inRoot('spec/ring.json'), 'utf8')) as {
  layouts: { constants: Readonly<Record<string, number>> }[]
}
const layout = layouts.find(({ constants }) => constants.slots === 8)?.constants as Readonly<Record<string, number>>
const constants =
  'magic version slots sqEntries cqEntries sqOffset cqOffset pinsOffset requestsOffset responsesOffset total carriers controlEntries controlOffset credits'
    .split(' ')
    .map((name) => layout[name] as number)

/** A guest's process, which does nothing by itself: the schedule says what happens to it next. */
class Played implements GuestProcess {
  static all: Played[] = []
  pid: number | undefined
  /** Whether it answers nothing, and does not end by itself. */
  readonly hangs = world.random.below(6) === 0
  state: 'begun' | 'reached' | 'greeted' | 'ready' | 'closing' | 'killed' | 'failing' | 'over' = 'begun'
  readonly id: number
  readonly isShared: boolean
  readonly #tell: OnInstanceEvent
  readonly #drainTimeout: number
  #expected: NodeJS.Timeout | undefined
  #taking: { resolve(): void; reject(error: Error): void } | undefined

  constructor(id: number, drainTimeout: number, isShared: boolean, tell: OnInstanceEvent) {
    this.id = id
    this.isShared = isShared
    this.#tell = tell
    this.#drainTimeout = drainTimeout
  }

  begin(): void {
    if (world.mayBeginNothing) throw new Error('a guest is started after the end')
    if (world.random.below(12) === 0) throw new PolyloopError('init-failed', 'no descriptors are left')
    Played.all.push(this)
  }

  write(text: string): void {
    if (text === 'close\n' && this.state === 'ready') this.state = 'closing'
  }

  started(): undefined {}

  takeOver(): Promise<void> {
    if (!this.isShared) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#taking = { resolve, reject }
      if (this.state === 'over') reject(new PolyloopError('init-failed', 'it has ended'))
    })
  }

  close(): void {
    this.write('close\n')
    this.expectEnd()
  }

  closed(): void {
    this.#end('was left', true)
  }

  expectEnd(): void {
    this.#expected ??= setTimeout(() => this.kill(), this.#drainTimeout)
  }

  kill(): void {
    if (this.state === 'over' || this.state === 'killed') return
    this.state = 'killed'
    this.#expected ??= setTimeout(() => this.#end('cannot be ended', true), unkillableAfter)
  }

  abandon(): void {
    if (this.isShared && this.state !== 'over') process.nextTick(() => this.#end('was left', true))
    else this.kill()
  }

  /** Ends by itself, whatever it does. */
  die(): void {
    if (this.state === 'over') return
    if (this.state === 'begun') this.#refuse()
    else this.#end('was killed by SIGSEGV', false)
  }

  /** What comes next in a life, good or bad. */
  step(isGood: boolean): void {
    switch (this.state) {
      case 'begun':
        if (isGood) this.#reach()
        else this.#refuse()
        break
      case 'reached':
        this.state = 'greeted'
        this.#say({ event: 'hello' })
        break
      case 'greeted':
        this.state = isGood ? 'ready' : 'failing'
        if (isGood) this.#say({ event: 'ready', payload: '{"methods":[{"name":"f"}]}' })
        else this.#say({ event: 'failed', rc: 1, payload: '{"type":"E","message":"no"}' })
        break
      case 'ready':
        this.#taking?.[isGood ? 'resolve' : 'reject'](new PolyloopError('init-failed', 'the name is not given'))
        if (!isGood && this.isShared) this.#tell({ type: 'moved' })
        break
      case 'closing':
        if (this.hangs) break
        if (isGood) this.#say({ event: 'closed' })
        else this.#end('exited with code 0', false)
        break
      case 'killed':
      case 'failing':
        this.#end('was killed by SIGKILL', false)
        break
      case 'over':
        break
    }
  }

  #reach(): void {
    this.pid = 1000 + this.id
    this.state = 'reached'
    this.#tell({ type: 'reached' })
  }

  #say(line: object): void {
    this.#tell({ type: 'line', line: `${JSON.stringify(line)}\n` })
    // A process of its own ends after that; one that is shared is left.
    if (this.state === 'closing' && !this.isShared) this.#end('exited with code 0', false)
  }

  #refuse(): void {
    this.state = 'over'
    clearTimeout(this.#expected)
    this.#tell({ type: 'refused', code: 'not-found', message: 'there is no such program' })
  }

  #end(how: string, isUnknown: boolean): void {
    if (this.state === 'over') return
    this.state = 'over'
    clearTimeout(this.#expected)
    this.#taking?.reject(new PolyloopError('init-failed', 'it has ended'))
    this.#tell({ type: 'ended', how, exit: isUnknown ? unknownExit : { code: null, signal: 'SIGKILL', lines: [] } })
  }
}

vi.mock('../placement/own-process.ts', () => ({
  OwnProcess: class {
    constructor(id: number, _command: unknown, drainTimeout: number, _printer: unknown, tell: OnInstanceEvent) {
      // biome-ignore lint/correctness/noConstructorReturn: it stands for the class that it replaces
      return new Played(id, drainTimeout, false, tell)
    }
  },
}))
vi.mock('../placement/shared-process.ts', () => ({
  SharedProcess: class {
    constructor(id: number, _g: unknown, s: { drainTimeout: number }, _i: unknown, _p: unknown, tell: OnInstanceEvent) {
      // biome-ignore lint/correctness/noConstructorReturn: it stands for the class that it replaces
      return new Played(id, s.drainTimeout, true, tell)
    }
  },
}))

class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** By mulberry32. */
  below(count: number): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % count
  }

  of<T>(from: readonly T[]): T | undefined {
    return from.length === 0 ? undefined : from[this.below(from.length)]
  }
}

/** What a schedule has made. */
interface World {
  readonly random: Random
  readonly blocks: Map<number, ArrayBuffer>
  readonly promises: { readonly what: string; state: 'pending' | 'resolved' | 'rejected'; error?: unknown }[]
  readonly events: RuntimeEvent[]
  readonly aborts: AbortController[]
  readonly removed: Map<number, number>
  readonly guests: Runtime[]
  /** Everything was unloaded. */
  mayBeginNothing: boolean
}

let world: World
let drainAll: () => void = () => {}
const everything: { readonly core: RuntimeCore }[] = []

beforeEach(() => {
  vi.spyOn(native, 'openHub').mockImplementation(() => new ArrayBuffer(12))
  vi.spyOn(native, 'listen').mockImplementation((drain) => {
    drainAll = drain
    return 0
  })
  vi.spyOn(native, 'createConnection').mockImplementation((id) => {
    const memory = new ArrayBuffer(layout.total as number)
    new Int32Array(memory).set(constants)
    world.blocks.set(id, memory)
    return memory
  })
  vi.spyOn(native, 'privateMemory').mockImplementation(() => new ArrayBuffer(privatePins + (layout.carriers as number)))
  vi.spyOn(native, 'removeConnection').mockImplementation((id) => {
    world.removed.set(id, (world.removed.get(id) ?? 0) + 1)
  })
  vi.spyOn(native, 'counts').mockImplementation(() => JSON.stringify({ pinsHold: true }))
  for (const name of ['actOnControlRing', 'doorbell', 'refLoop', 'releaseRequestHeap', 'stopListening'] as const) {
    vi.spyOn(native, name).mockImplementation(() => {})
  }
  const submit = Connection.prototype.submit
  vi.spyOn(Connection.prototype, 'submit').mockImplementation(function (this: Connection, call: Call) {
    submit.call(this, call)
    if (call.slot >= 0) everyCallOf(this).add(call)
  })
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const calls = new WeakMap<Connection, Set<Call>>()

function everyCallOf(connection: Connection): Set<Call> {
  const known = calls.get(connection) ?? new Set()
  calls.set(connection, known)
  return known
}

/** Lets everything that is not a timer happen. */
async function settleDown(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/** Notes how a promise ends. */
function track(what: string, promise: Promise<unknown>): void {
  const noted: World['promises'][number] = { what, state: 'pending' }
  world.promises.push(noted)
  promise.then(
    () => {
      noted.state = 'resolved'
    },
    (error: unknown) => {
      noted.state = 'rejected'
      noted.error = error
    },
  )
}

function cores(): RuntimeCore[] {
  for (const core of runtimes()) if (!everything.some((one) => one.core === core)) everything.push({ core })
  return everything.map(({ core }) => core)
}

/** The add-on has the loop drain while completions wait, and then only. */
function drain(): void {
  const waits = [...world.blocks.values()].some((memory) => {
    const words = new Int32Array(memory)
    return words[header.cqTail] !== words[header.cqHead]
  })
  if (waits) drainAll()
}

/** The guests answer some of the calls that they have. */
function answer(most: number): void {
  let left = most
  for (const core of cores()) {
    for (const { id, connection } of core.supervisor.instances) {
      const memory = world.blocks.get(id)
      const played = Played.all.find((one) => one.id === id)
      if (memory === undefined || played === undefined || played.hangs) continue
      if (!['ready', 'closing'].includes(played.state)) continue
      const words = new Int32Array(memory)
      const [cq, mask] = [(layout.cqOffset as number) / 4, (layout.cqEntries as number) - 1]
      for (const call of everyCallOf(connection)) {
        if (left-- <= 0) return
        everyCallOf(connection).delete(call)
        if (call.slot < 0) continue
        const tail = words[header.cqTail] as number
        words.set([call.slot, kind.response | (flag.empty << 8), 0, 0, 0, 0, 0, 0], cq + (tail & mask) * entryWords)
        words[header.cqTail] = (tail + 1) | 0
      }
    }
  }
}

const options = (random: Random): LoadOptions => ({
  placement: 'process',
  tracing: false,
  log: () => {},
  maxCalls: 1 + random.below(3),
  instances: 1 + random.below(3),
  drainTimeout: 1000,
  whenFull: random.below(4) === 0 ? 'fail' : 'wait',
  restart: random.below(3) === 0 ? false : { attempts: random.below(3), minDelay: 50, maxDelay: 500, timeout: 2000 },
  whenHung: random.below(2) === 0 ? 'kill' : 'report',
  ...(random.below(3) === 0 && { shared: 'name' }),
  onEvent: (event) => {
    world.events.push(event)
  },
})

/** One of the things that programs do, and that happen to guests. */
/** How long a load or a reload may take, or that it may take any time. */
function limits(): { timeout?: number; signal?: AbortSignal } {
  const { random, aborts } = world
  if (random.below(2) === 0) return {}
  const abort = new AbortController()
  aborts.push(abort)
  return { timeout: 1 + random.below(3000), signal: abort.signal }
}

function act(given: LoadOptions): void {
  const { random, guests } = world
  const guest = random.of(guests)
  switch (random.below(18)) {
    case 0: {
      const loading = load('/nowhere/lib.so', { ...given, ...limits() })
      track('load', loading)
      loading.then((loaded) => guests.push(loaded)).catch(() => {})
      return
    }
    case 1:
      if (guest !== undefined) track('reload', guest.reload(limits()))
      return
    case 2:
      if (guest !== undefined) track('unload', guest.unload())
      return
    case 3:
      if (guest !== undefined && random.below(3) === 0) track('unload', guest.unload({ timeout: random.below(2000) }))
      return
    case 4:
      random.of(Played.all)?.die()
      return
    case 5:
      random.of(world.aborts)?.abort()
      return
    case 6:
    case 7: {
      if (guest === undefined) return
      const abort = new AbortController()
      world.aborts.push(abort)
      const limits = [{ deadline: Date.now() + 1 + random.below(3000) }, { signal: abort.signal }, undefined]
      track('call', guest.call('f', undefined, random.of(limits)))
      return
    }
    case 8:
      vi.advanceTimersByTime(random.below(1500))
      return
    case 9:
    case 10:
      answer(1 + random.below(4))
      return
    case 11:
      drain()
      return
    default:
      random.of(Played.all.filter(({ state }) => state !== 'over'))?.step(random.below(6) > 0)
  }
}

/** Everything ends: guests do what they are told, callers wait, timers run. */
async function windDown(): Promise<void> {
  for (let turns = 0; turns < 400; turns++) {
    // Also those that a load which waited for another's end has started since.
    for (const core of cores()) {
      track('unload at the end', Played.all.some(({ hangs }) => hangs) ? core.unload({ timeout: 900 }) : core.unload())
    }
    await settleDown()
    for (const played of Played.all) if (played.state !== 'ready') played.step(true)
    for (const played of Played.all) if (played.state === 'ready' && played.isShared) played.step(true)
    answer(Number.POSITIVE_INFINITY)
    drain()
    await settleDown()
    const isOver = runtimes().length === 0 && Played.all.every(({ state }) => state === 'over')
    if (isOver && world.promises.every(({ state }) => state !== 'pending')) return
    vi.advanceTimersByTime(500)
  }
}

function problems(): string[] {
  const found: string[] = []
  for (const { what, state, error } of world.promises) {
    if (state === 'pending') found.push(`${what} does not settle`)
    if (state === 'rejected' && !(error instanceof PolyloopError)) found.push(`${what} rejects with ${error}`)
  }
  for (const { id, state } of Played.all) if (state !== 'over') found.push(`process ${id} is left ${state}`)
  for (const [id] of world.blocks) {
    const times = world.removed.get(id) ?? 0
    if (times !== 1) found.push(`connection ${id} was removed ${times} times`)
  }
  for (const core of cores()) {
    const { inFlight, queued, bytesInFlight, instances } = core.stats()
    const { awaited, calls: under } = core.dispatcher.admission
    const counts = { inFlight, queued, bytesInFlight, awaited, under }
    if (Object.values(counts).some((count) => count !== 0)) found.push(`counts are left: ${JSON.stringify(counts)}`)
    if (core.supervisor.instances.length > 0) found.push(`instances are left: ${JSON.stringify(instances)}`)
  }
  if (runtimes().length > 0) found.push('runtimes are left')
  if (vi.getTimerCount() > 0) found.push(`${vi.getTimerCount()} timers are left`)
  return found
}

/** What holds at any time. */
function wrongs(): string[] {
  return cores().flatMap((core) => {
    const { dispatcher, supervisor, settings } = core
    const { open, calls: under, waiting } = dispatcher.admission
    const serves = supervisor.replicas.some(({ serving }) => serving?.state === 'ready')
    return [
      ...(supervisor.failure !== undefined && serves ? ['a runtime has failed, and has an instance that serves'] : []),
      ...(open && waiting > 0 && under < settings.maxCalls ? ['calls wait beside free places'] : []),
      ...(open !== serves && core.open && !supervisor.isClosing
        ? ['calls go to no instance, or wait beside one that serves']
        : []),
    ]
  })
}

async function play(seed: number): Promise<string[]> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] })
  const random = new Random(seed)
  Played.all = []
  everything.length = 0
  world = {
    random,
    blocks: new Map(),
    promises: [],
    events: [],
    aborts: [],
    removed: new Map(),
    guests: [],
    mayBeginNothing: false,
  }
  const given = options(random)
  for (let steps = 20 + random.below(60); steps > 0; steps--) {
    act(given)
    if (random.below(3) > 0) await settleDown()
    const wrong = wrongs()
    if (wrong.length > 0) return wrong
  }
  await windDown()
  world.mayBeginNothing = true
  vi.advanceTimersByTime(100_000)
  await settleDown()
  const found = problems()
  vi.useRealTimers()
  return found
}

test(`whatever happens in whatever order, every promise settles, counts return to zero, and nothing is started after the end`, async () => {
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const found = await play(seed)
    expect(found, `POLYLOOP_SCHEDULES=1 POLYLOOP_SCHEDULES_SEED=${seed}`).toEqual([])
  }
})
