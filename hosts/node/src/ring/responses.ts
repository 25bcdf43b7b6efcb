// SPDX-License-Identifier: Apache-2.0

import type { Context, ContextListener } from '../call/context.ts'
import { callBack } from '../common/call-back.ts'
import type { Encoding } from '../common/codec.ts'
import { Breach, PolyloopError } from '../common/errors.ts'
import { flag, inlineResponseBytes, status } from '../common/layout.ts'
import type { Settings } from '../common/options.ts'
import { mark } from '../values/envelope.ts'
import { reviveEnvelope } from '../values/revive.ts'
import type { Block } from './block.ts'
import { Pool, view } from './buffers.ts'
import { type SlabMemory, Slabs } from './slabs.ts'

const pool = new Pool()

/** An error may be so long whatever the limit of payloads, and a context: as crates/connection has it. */
const errorBytes = 1 << 20
const contextBytes = 4096

/** What it depends on how a guest's completions are read. */
export type ReadingOptions = Pick<Settings, 'encoding' | 'maxPayload' | 'placement' | 'copyBytes'>

/** Reads what the guest's completions carry. */
export class Responses {
  readonly slabs: Slabs
  readonly #block: Block
  readonly #encoding: Encoding
  /** Most bytes of a payload and its context. */
  readonly #longest: number
  /** Whether another process may change what is read while it is read. */
  readonly #isShared: boolean
  /** Whether callers get copies of bytes that it may change. */
  readonly #copies: boolean
  /** The last small response of each slot, as a view. */
  readonly #views: (Uint8Array | undefined)[]

  constructor(id: number, block: Block, { encoding, maxPayload, placement, copyBytes }: ReadingOptions) {
    this.slabs = new Slabs(id, block)
    this.#block = block
    this.#encoding = encoding
    this.#longest = Math.max(maxPayload, errorBytes) + contextBytes
    this.#isShared = placement === 'process'
    this.#copies = copyBytes
    this.#views = new Array<Uint8Array | undefined>(block.slots).fill(undefined)
  }

  /**
   * The value of the response, or of the item, whose entry begins at word `at`, or its error thrown. The payload is
   * copied or viewed, never kept here.
   *
   * @param length - bytes of the payload, 32 bits without a sign
   * @param listener - told the context that came along, if one did
   * @throws what the guest threw; protocol if the codec cannot read it; Breach if the entry cannot be
   */
  decode(at: number, slot: number, flags: number, length: number, code: number, listener?: ContextListener): unknown {
    // Each word is read once: another process could change it between a look and its use.
    const words = this.#block.words
    const number = words[at + 4] as number
    const start = number === 0 ? this.#block.responses + slot * inlineResponseBytes : (words[at + 5] as number) >>> 0
    let slab: SlabMemory | undefined
    // The context lies behind the payload.
    const all = length + ((words[at + 2] as number) >>> 0)
    if (all > this.#longest) throw new Breach(`a response of ${all} bytes is longer than it may be`)
    if (number !== 0) slab = (flags & flag.own) === 0 ? this.slabs.shared(number, all) : this.slabs.own(number, all)
    if (slab === undefined ? all > inlineResponseBytes : start + all > slab.length) {
      throw new Breach(`a response of ${all} bytes does not fit its place`)
    }
    const end = start + length
    const place = slab ?? this.#block
    if (listener !== undefined && all > length) this.#tell(place.bytes, end, start + all, listener)
    if (code !== status.ok) throw this.#decodeValue(() => toError(code, this.#text(place.bytes, start, end)))
    if ((flags & flag.empty) !== 0) return undefined
    const encoding = this.#encoding
    const isValue = (flags & flag.bytes) === 0
    if (isValue && encoding.carries === 'text' && place.bytes[start] !== mark) {
      return this.#decodeValue(() => JSON.parse(this.#text(place.bytes, start, end)) as unknown)
    }
    const own = slab === undefined ? this.#copy(slot, start, length) : fromSlab(slab, start, length)
    if (!isValue) return this.#copies ? Buffer.from(own) : own
    if (encoding.carries === 'text') return this.#decodeValue(() => this.#envelope(own))
    return this.#decodeValue(() =>
      encoding.decode(this.#isShared && length > inlineResponseBytes ? Buffer.from(own) : own),
    )
  }

  #envelope(own: Buffer): unknown {
    const text = (from: number, to: number): string => this.#text(own, from, to)
    return reviveEnvelope(own, { text, isKept: !this.#copies })
  }

  /**
   * A text. If another process may change it, out of a copy: what makes strings of bytes reads them twice, first to
   * see how long the string will be, and writes beyond it if they have become others meanwhile.
   */
  #text(bytes: Buffer, start: number, end: number): string {
    return this.#isShared ? copied(bytes, start, end) : bytes.toString('utf8', start, end)
  }

  /** Tells the context behind the payload. */
  #tell(bytes: Buffer, start: number, end: number, listener: ContextListener): void {
    const context = this.#decodeValue(() => toContext(JSON.parse(this.#text(bytes, start, end))))
    callBack(() => listener(context))
  }

  /** A copy of a small response: its slot is used again. */
  #copy(slot: number, start: number, length: number): Buffer {
    let last = this.#views[slot]
    // Responses of one instance are often of one size, and making a view costs as much as the copy.
    if (last === undefined || last.length !== length) {
      last = this.#block.bytes.subarray(start, start + length)
      this.#views[slot] = last
    }
    return pool.copy(last)
  }

  #decodeValue<T>(decode: () => T): T {
    try {
      return decode()
    } catch (cause) {
      const { name } = this.#encoding
      throw new PolyloopError('protocol', `the guest's response is not ${name}: return plain data, or bytes`, { cause })
    }
  }
}

/** A view; of few bytes a copy, which does not keep a whole slab. */
function fromSlab(slab: SlabMemory, start: number, length: number): Buffer {
  if (length > inlineResponseBytes) return view(slab.memory, start, length)
  return pool.copy(slab.bytes.subarray(start, start + length))
}

/** Bytes that are kept to copy texts to. */
let scratch = Buffer.alloc(0)
/** What a larger text is copied to is not kept. */
const largestScratch = 1 << 20

function copied(bytes: Buffer, start: number, end: number): string {
  const length = end - start
  let to = scratch
  if (length > to.length) {
    to = Buffer.allocUnsafeSlow(Math.max(length, 65_536))
    if (length <= largestScratch) scratch = to
  }
  bytes.copy(to, 0, start, end)
  return to.toString('utf8', 0, length)
}

function toContext(value: unknown): Context {
  const isContext = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isContext && Object.values(value).every((one) => typeof one === 'string')) return value as Context
  throw new TypeError('the context is not an object of texts')
}

function toError(code: number, json: string): PolyloopError {
  return code === status.hostError ? PolyloopError.fromHost(json) : PolyloopError.fromGuest('guest-error', json)
}
