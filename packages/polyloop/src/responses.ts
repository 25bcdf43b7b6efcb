// SPDX-License-Identifier: Apache-2.0
import { type Block, flag, responseBytes, status } from './block.ts'
import { Pool, view } from './bytes.ts'
import type { Encoding } from './codec.ts'
import { Breach, PolyloopError } from './errors.ts'
import { type SlabMemory, Slabs } from './slabs.ts'

const pool = new Pool()

/** Small texts that travel with a call. */
export type Context = Readonly<Record<string, string>>
export type ContextListener = (context: Context) => void

/** Reads what the guest's completions carry. */
export class Responses {
  readonly slabs: Slabs
  readonly #block: Block
  readonly #encoding: Encoding
  /** The last small response of each slot, as a view. */
  readonly #views: (Uint8Array | undefined)[]

  constructor(id: number, block: Block, encoding: Encoding) {
    this.slabs = new Slabs(id)
    this.#block = block
    this.#encoding = encoding
    this.#views = new Array<Uint8Array | undefined>(block.slots).fill(undefined)
  }

  /**
   * The value of the response, or of the item, whose entry begins at word `at`, or its error thrown. The payload is
   * copied or viewed, never kept here.
   *
   * @param listener - told the context that came along, if one did
   * @throws what the guest threw; protocol where the codec cannot read it; Breach where the entry cannot be
   */
  decode(at: number, slot: number, flags: number, length: number, code: number, listener?: ContextListener): unknown {
    const words = this.#block.words
    const number = words[at + 4] as number
    const start = number === 0 ? this.#block.responses + slot * responseBytes : (words[at + 5] as number)
    let slab: SlabMemory | undefined
    // The context lies behind the payload. Both are 32 bits without a sign, whoever wrote them.
    const all = (length >>> 0) + ((words[at + 2] as number) >>> 0)
    if (number !== 0) slab = (flags & flag.own) === 0 ? this.slabs.shared(number) : this.slabs.own(number, all)
    const bytes = slab === undefined ? this.#block.bytes : slab.bytes
    if (slab === undefined ? all > responseBytes : (start >>> 0) + all > bytes.length) {
      throw new Breach(`a response of ${all} bytes does not fit its place`)
    }
    if (listener !== undefined) this.#tell(at, start, bytes, listener)
    if (code !== status.ok) throw toError(code, bytes.toString('utf8', start, start + length))
    if ((flags & flag.empty) !== 0) return undefined
    const encoding = this.#encoding
    if ((flags & flag.bytes) === 0 && encoding.carries === 'text') {
      return this.#decodeValue(() => encoding.decode(bytes.toString('utf8', start, start + length)))
    }
    const own = slab === undefined ? this.#copy(slot, start, length) : fromSlab(slab, start, length)
    if ((flags & flag.bytes) !== 0 || encoding.carries === 'text') return own
    return this.#decodeValue(() => encoding.decode(own))
  }

  /** Tells the context behind the payload, where there is one. */
  #tell(at: number, start: number, bytes: Buffer, listener: ContextListener): void {
    const words = this.#block.words
    const [from, length] = [start + (words[at + 3] as number), words[at + 2] as number]
    if (length === 0) return
    const context = this.#decodeValue(() => JSON.parse(bytes.toString('utf8', from, from + length)) as Context)
    try {
      listener(context)
    } catch (error) {
      // What the caller's function throws is an uncaught exception of its own: the drain goes on.
      process.nextTick(() => {
        throw error
      })
    }
  }

  /** A copy of a small response: its slot is used again. */
  #copy(slot: number, start: number, length: number): Buffer {
    let last = this.#views[slot]
    // Responses of one runtime are often of one size, and making a view costs as much as the copy.
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
  if (length > responseBytes) return view(slab.memory, start, length)
  return pool.copy(slab.bytes.subarray(start, start + length))
}

function toError(code: number, json: string): PolyloopError {
  return code === status.hostError ? PolyloopError.fromHost(json) : PolyloopError.fromGuest('guest-error', json)
}
