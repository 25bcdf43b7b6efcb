// SPDX-License-Identifier: Apache-2.0
// The host's end of the rings against whatever another process may have written, without any process: thousands of
// random cases. POLYLOOP_FUZZ_CASES and POLYLOOP_FUZZ_SEED choose how many, and from where on.
import { readFileSync } from 'node:fs'
import { beforeEach, expect, test, vi } from 'vitest'
import { inRoot } from '../../test/support/paths.ts'
import { Feed, numbers } from '../../test/support/streams.ts'
import { Call, type CallExtras } from '../call/call.ts'
import { Dispatcher } from '../call/dispatcher.ts'
import { RequestStream } from '../call/request-stream.ts'
import { ResponseStream } from '../call/response-stream.ts'
import { toEncoding } from '../common/codec.ts'
import { Breach, PolyloopError } from '../common/errors.ts'
import { entryWords, flag, header, kind, mostSlabBytes, privatePins, windowBytes } from '../common/layout.ts'
import { native, openNative } from '../native/addon.ts'
import { Counters } from '../observe/counters.ts'
import { Block } from './block.ts'
import { Connection } from './connection.ts'
import { RequestHeap } from './request-heap.ts'
import { Slabs, slabBytes } from './slabs.ts'

type Words = Readonly<Record<string, number>>
const { layouts } = JSON.parse(readFileSync(inRoot('spec/ring.json'), 'utf8')) as { layouts: { constants: Words }[] }
const layout = layouts.find(({ constants }) => constants.slots === 8)?.constants as Words
const constants =
  'magic version slots sqEntries cqEntries sqOffset cqOffset pinsOffset requestsOffset responsesOffset total carriers controlEntries controlOffset credits'
    .split(' ')
    .map((name) => layout[name] as number)

/** Where every slab lies: digits, which are JSON wherever one begins and ends. */
const arena = new ArrayBuffer(4 * mostSlabBytes)
Buffer.from(arena).fill('7')
const unit = arena.slice(0, mostSlabBytes)
/** Slabs that are lent, as crates/ring has it: a part is lent once. */
let lent: Set<number>

beforeEach(() => {
  openNative()
  vi.spyOn(native, 'privateMemory').mockImplementation(() => new ArrayBuffer(privatePins + (layout.carriers as number)))
  vi.spyOn(native, 'actOnControlRing').mockImplementation(() => {})
  vi.spyOn(native, 'doorbell').mockImplementation(() => {})
  vi.spyOn(native, 'pin').mockImplementation(() => {})
  vi.spyOn(native, 'alloc').mockImplementation((_id, bytes) => [new ArrayBuffer(bytes), mostSlabBytes])
  vi.spyOn(native, 'slab').mockImplementation((_id, slab, bytes) => {
    const units = Array.from({ length: Math.max(1, Math.ceil(bytes / mostSlabBytes)) }, (_, index) => slab + index)
    if (units.length > 4 || slab < 1 || units.some((one) => one > 2000 || lent.has(one))) throw new Error('no slab')
    for (const one of units) lent.add(one)
    return units.length === 1 ? unit : arena
  })
})

/** Thousands of times faster than `expect`. */
function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`it does not hold that ${what}`)
}

class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** 32 bits, by mulberry32. */
  word(): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  below(count: number): number {
    return this.word() % count
  }

  of<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }

  /** Numbers such as bounds are missed by. */
  odd(): number {
    const near = this.of([0, 1, 8, 16, 80, 1024, 4096, 131_072, mostSlabBytes, 2 ** 30, 2 ** 31, 2 ** 32])
    return this.below(4) === 0 ? this.word() : (near - 1 + this.below(3)) >>> 0
  }
}

interface Tracked {
  readonly call: Call
  settled: number
  readonly responseStream: ResponseStream | undefined
}

/** One guest and its host, from its first call to its end. */
class Case {
  readonly block: Block
  readonly connection: Connection
  readonly dispatcher: Dispatcher
  readonly calls: Tracked[] = []
  breach: Breach | undefined
  /** What the guest has of the control ring, and of requests and items. */
  #head = 0
  readonly #given: number[] = []
  readonly #held: number[] = []
  readonly #answered = new Set<Tracked>()
  readonly #sent = new Map<Tracked, { readonly items: number; readonly bytes: number }>()
  readonly #isSound: boolean
  /** The slab that it carves from, and how often it has; slabs that hold one payload alone. */
  #slab = 1
  #shared = 0
  #own = 0
  readonly #random: Random

  /** @param isSound - whether the guest keeps to the rules */
  constructor(seed: number, isSound: boolean) {
    this.#isSound = isSound
    lent = new Set()
    this.#random = new Random(seed)
    const memory = new ArrayBuffer(layout.total as number)
    new Int32Array(memory).set(constants)
    this.block = new Block(memory)
    // Where answers lie: some JSON, some not.
    this.block.bytes.fill(this.#random.of(['7', '{}', '"', '{"code":"x","message":{}}', '\xff']), this.block.responses)
    this.dispatcher = new Dispatcher(
      { maxCalls: 8, maxBytes: 2 ** 20, maxPayload: 2 ** 22, whenFull: 'wait' },
      new Counters(2),
    )
    const options = {
      encoding: toEncoding('json'),
      maxPayload: 2 ** 22,
      placement: 'process',
      copyBytes: false,
    } as const
    this.connection = new Connection(0, this.block, options, this.dispatcher, new RequestHeap(0), {
      breached: (error) => {
        this.breach ??= error
      },
      logged: () => {},
    })
    this.dispatcher.add(this.connection)
  }

  /** Makes a call: a plain one, or one with streams. */
  call(): void {
    const random = this.#random
    const which = random.below(6)
    const source = { credit: (items: number, bytes: number) => call.call.at?.credit(call.call, items, bytes) }
    const responseStream =
      which > 3 ? new ResponseStream(() => ({ ...source, abandon: (error) => call.call.abandon(error) })) : undefined
    const feed = which > 4 ? new Feed(numbers(random.below(200))) : undefined
    const requestStream: RequestStream | undefined =
      feed &&
      new RequestStream(
        feed,
        (value) => ({ flags: 0, payload: String(value) }),
        (error) => call.call.abandon(error),
      )
    const onContext = random.below(4) === 0 ? () => {} : undefined
    const extras: CallExtras | undefined = which > 2 ? { responseStream, requestStream, onContext } : undefined
    const flags = (responseStream ? flag.output : 0) | (requestStream ? flag.input : 0)
    const payload = random.of(['"text"', '"long"'.padEnd(5000), Buffer.alloc(6000), undefined])
    const call: Tracked = {
      call: new Call(0, flags, payload, random.below(2) === 0, extras),
      settled: 0,
      responseStream,
    }
    const { resolve, reject } = call.call
    call.call.resolve = (value) => {
      call.settled++
      resolve(value)
    }
    call.call.reject = (error) => {
      call.settled++
      check(error instanceof PolyloopError, 'an error is of ours')
      reject(error)
    }
    call.call.promise.then(
      () => responseStream?.finish(),
      (error) => responseStream?.fail(error),
    )
    this.calls.push(call)
    this.dispatcher.run(call.call)
    responseStream?.start()
  }

  /** Gives a call up, or reads an item of one. */
  meddle(): void {
    const call = this.#random.of(this.calls)
    if (call === undefined) return
    if (call.responseStream !== undefined && this.#random.below(3) > 0) call.responseStream.next().catch(() => {})
    else if (call.settled === 0) {
      // Only calls that have streams, or a deadline, can be given up.
      call.call.onAbandon ??= () => call.call.at?.abandon(call.call)
      call.call.abandon(new PolyloopError('cancelled', 'given up'))
    }
  }

  /** Once in n times, if it does not keep to the rules. */
  #errs(often: number): boolean {
    return !this.#isSound && this.#random.below(often) === 0
  }

  /** Acts on the control ring, as a sound guest does: items come to it. */
  #act(): void {
    const { words, control, controlMask } = this.block
    for (const tail = words[header.controlTail] as number; this.#head !== tail; this.#head = (this.#head + 1) | 0) {
      const at = control + (this.#head & controlMask) * entryWords
      if (((words[at + 1] as number) & 0xff) === kind.item) this.#given.push(words[at + 6] as number)
    }
    words[header.controlHead] = this.#head
  }

  /** One out of a list that it then has no more. */
  #take(from: number[]): number | undefined {
    return from.splice(this.#random.below(from.length), 1)[0]
  }

  /** Where a payload of some kind lies: words 2 to 5 of its entry, and a flag. */
  #place(isItem: boolean): readonly [flag: number, ...words: number[]] {
    const random = this.#random
    if (random.below(8) === 0) return [flag.own, 0, 1025 + random.below(2 ** 21), 1000 + this.#own++ * 4, 0]
    if (!isItem && random.below(2) === 0) return [0, random.below(3), random.below(100), 0, 0]
    this.#shared++
    return [0, 0, random.below(3000), this.#slab, random.below(1000)]
  }

  /** What a sound guest could write now. */
  #sound(): number[] {
    const random = this.#random
    const open = this.calls.filter((call) => call.call.slot >= 0 && !this.#answered.has(call))
    const call = random.of(open)
    const what = random.below(12)
    const held = random.below(4) === 0 ? flag.held : 0
    if (what < 5 && call !== undefined) {
      this.#answered.add(call)
      if (held > 0) this.#held.push(call.call.slot)
      const [own, ...place] = this.#place(false)
      const status = random.below(6) === 0 ? 1 + random.below(2) : 0
      const flags = random.of([0, flag.bytes, flag.empty]) | held | own
      return [call.call.slot, kind.response | (flags << 8) | (status << 16), ...place, random.word()]
    }
    const sent = this.#sent.get(call as Tracked) ?? { items: 0, bytes: 0 }
    if (
      what < 7 &&
      call?.responseStream !== undefined &&
      sent.items < call.responseStream.window &&
      sent.bytes < windowBytes
    ) {
      const [own, ...place] = this.#place(true)
      this.#sent.set(call, { items: sent.items + 1, bytes: sent.bytes + (place[1] as number) })
      return [call.call.slot, kind.item | ((own | random.of([0, flag.bytes])) << 8), ...place]
    }
    const requestBuffer = what < 9 ? this.#take(this.#given) : undefined
    if (requestBuffer !== undefined) {
      if (held > 0) this.#held.push(requestBuffer)
      return [requestBuffer, kind.response | ((flag.empty | held) << 8)]
    }
    const place = what < 11 ? this.#take(this.#held) : undefined
    if (place !== undefined) return [place, kind.release]
    if (this.#shared === 0) return [0, kind.log]
    const full = [0, kind.seal, 0, mostSlabBytes, this.#slab++, 0, this.#shared]
    this.#shared = 0
    return full
  }

  /** What no sound guest writes; or only at other times. */
  #unsound(): number[] {
    const random = this.#random
    const entry = this.#sound()
    const what = random.below(5)
    // It lets go of the request of a call in flight, more often than once.
    if (what === 4) return [random.of(this.calls)?.call.slot ?? 0, kind.release]
    if (what === 0) return [random.below(90), random.of([kind.response, kind.item, kind.release]) | (flag.bytes << 8)]
    if (what === 1) return [0, kind.seal, 0, slabBytes(random.below(9000)), random.below(8), 0, random.below(4)]
    entry[random.below(entryWords)] = what === 2 ? random.odd() : random.word()
    return entry
  }

  /** Writes entries, some of them wrong, and perhaps moves the tail to a wrong place. */
  write(): void {
    const { words, cq, cqMask } = this.block
    const random = this.#random
    let tail = words[header.cqTail] as number
    for (let left = random.below(6); left > 0; left--) {
      this.#act()
      const isUnsound = this.#errs(30)
      const entry = isUnsound ? this.#unsound() : this.#sound()
      const copies = this.#errs(isUnsound ? 3 : 200) ? 2 : 1
      for (let copy = 0; copy < copies; copy++) {
        for (let word = 0; word < entryWords; word++) words[cq + (tail & cqMask) * entryWords + word] = entry[word] ?? 0
        tail = (tail + 1) | 0
      }
    }
    if (this.#errs(400)) tail = random.odd()
    words[header.cqTail] = tail
    if (this.#errs(200)) words[header.controlHead] = random.odd()
    if (random.below(20) === 0) words[header.controlSleep] = random.below(2)
  }

  /** Drains, and looks that nothing was written where the host does not write. */
  drain(): void {
    const before = this.#guests()
    try {
      this.connection.drain(1 + this.#random.below(300))
    } catch (error) {
      check(error instanceof Breach, `only a Breach is thrown: ${error}`)
      this.breach ??= error as Breach
    }
    check(before.equals(this.#guests()), 'nothing is written where only guests write')
    const taken = this.calls.flatMap(({ call }) => (call.slot < 0 ? [] : [call.slot]))
    check(new Set(taken).size === taken.length, 'no two calls are in one slot')
    check(
      this.calls.every(({ settled }) => settled <= 1),
      'no call settles twice',
    )
  }

  /** All but what the host writes in a block: words of the header, two of the rings, requests. */
  #guests(): Buffer {
    const { bytes, cq, cqMask, pins, requestBuffers, responses } = this.block
    const head = Buffer.from(bytes.subarray(0, 20 * 128))
    for (const word of [header.sqTail, header.cqHead, header.outstanding, header.controlTail]) {
      head.writeUInt32LE(0, word * 4)
    }
    const ring = bytes.subarray(cq * 4, (cq + (cqMask + 1) * entryWords) * 4)
    return Buffer.concat([head, ring, bytes.subarray(pins, pins + requestBuffers), bytes.subarray(responses)])
  }

  /** The guest is gone: every call has settled, once, and nothing is left in flight. */
  end(): void {
    this.dispatcher.remove(this.connection)
    this.connection.fail(() => new PolyloopError('guest-crashed', 'gone'))
    this.dispatcher.fail(() => new PolyloopError('guest-crashed', 'gone'))
    expect(this.calls.map(({ settled }) => settled)).toEqual(this.calls.map(() => 1))
    expect(this.dispatcher.admission).toMatchObject({ calls: 0, bytes: 0, waiting: 0 })
    expect(this.connection.calls).toBe(0)
    expect(this.block.words[header.outstanding]).toBe(0)
  }
}

/** Runs a case, from its first call to its end. Returns how the guest broke the protocol. */
async function run(seed: number, isSound: boolean): Promise<string> {
  const random = new Random(~seed)
  const one = new Case(seed, isSound)
  for (let step = 10 + random.below(40); step > 0 && one.breach === undefined; step--) {
    const what = random.below(8)
    if (what < 3) one.call()
    else if (what < 4) one.meddle()
    else one.write()
    // Streams are fed between two turns.
    for (let turn = random.below(6); turn > 0; turn--) await undefined
    if (random.below(2) === 0) one.drain()
  }
  one.end()
  return one.breach?.message ?? ''
}

const cases = Number(process.env.POLYLOOP_FUZZ_CASES ?? 3000)
const first = Number(process.env.POLYLOOP_FUZZ_SEED ?? 1)

async function each(count: number, one: (seed: number) => Promise<void>): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    try {
      await one(seed)
    } catch (error) {
      throw new Error(`with seed ${seed}: POLYLOOP_FUZZ_SEED=${seed} POLYLOOP_FUZZ_CASES=1`, { cause: error })
    }
  }
}

test('whatever is in the rings, drains throw nothing but a Breach, and every call settles once', async () => {
  const breaches = new Set<string>()
  await each(cases, async (seed) => void breaches.add((await run(seed, false)).replaceAll(/-?\d+/g, '#')))
  // It is worth little if all cases end in the same way.
  if (cases >= 3000) expect(breaches.size).toBeGreaterThan(12)
})

test('a guest that keeps to the rules is never taken for one that does not', async () => {
  await each(Math.ceil(cases / 4), async (seed) => expect(await run(seed, true)).toBe(''))
})

test('a guest has no more slabs open than answers and items can be on their way', () => {
  lent = new Set()
  const block = { slots: 8, credits: 256 } as Block
  const slabs = new Slabs(0, block)
  const most = 2 * (block.slots + block.credits + 4)
  for (let slab = 1; slab <= most; slab++) slabs.shared(slab, 5000)
  expect(() => slabs.shared(most + 1, 5000)).toThrow(`the guest broke the protocol: it has ${most} slabs open`)
  expect(() => slabs.seal(5, 1, mostSlabBytes + 1)).toThrow('it seals a slab of 1048577 bytes')
  slabs.seal(5, 1, slabBytes(5000))
  expect(slabs.shared(most + 1, 5000).bytes).toHaveLength(mostSlabBytes)
})
