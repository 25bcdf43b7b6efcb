// SPDX-License-Identifier: Apache-2.0

import { Breach } from '../common/errors.ts'
import { mostSlabBytes, slabSizes } from '../common/layout.ts'
import { native } from '../native/addon.ts'
import type { Block } from './block.ts'
import { nudgeCollector } from './buffers.ts'

/** Memory that responses lie in, as bytes to decode and as what views are made of. */
export interface SlabMemory {
  readonly bytes: Buffer
  readonly length: number
  readonly memory: ArrayBuffer
}

/** Bytes of the slab that a response of `length` bytes shares with others of about its size. */
export function slabBytes(length: number): number {
  return slabSizes.find(([most]) => length <= most)?.[1] ?? mostSlabBytes
}

/** Mapped since the collector was nudged. */
let mapped = 0

/** A class: V8 knows the shape of what its constructor makes, and every response looks at one. */
class Slab implements SlabMemory {
  readonly memory: ArrayBuffer
  readonly length: number
  #bytes: Buffer | undefined
  taken = 0
  /** How many responses it holds, once the guest is done with it; -1 until then. */
  total = -1

  constructor(memory: ArrayBuffer) {
    this.memory = memory
    this.length = memory.byteLength
  }

  /** Made when the first response is decoded: views need none. */
  get bytes(): Buffer {
    this.#bytes ??= Buffer.from(this.memory)
    return this.#bytes
  }
}

/**
 * The slabs that responses come in. A slab is mapped at its first response and forgotten after its
 * last; its memory goes back when no view of it is left.
 */
export class Slabs {
  readonly #id: number
  /** Most slabs that a sound guest has open: one beside each that an answer or an item on its way lies in. */
  readonly #most: number
  readonly #open = new Map<number, Slab>()
  #last = 0
  #lastSlab: Slab | undefined

  constructor(id: number, { slots, credits }: Block) {
    this.#id = id
    this.#most = 2 * (slots + credits + slabSizes.length)
  }

  /** The memory of a slab that responses share; counts one, of `length` bytes, as taken. */
  shared(slab: number, length: number): SlabMemory {
    const open = slab === this.#last && this.#lastSlab !== undefined ? this.#lastSlab : this.#find(slab, length)
    open.taken++
    if (open.taken === open.total) this.#forget(slab)
    return open
  }

  /**
   * The memory of a slab that holds one response alone, of `bytes` bytes.
   *
   * @throws Breach if there is no such slab
   */
  own(slab: number, bytes: number): Slab {
    // Small slabs come so often that it would take as long as they do.
    mapped += bytes
    if (mapped >= mostSlabBytes) {
      mapped = 0
      nudgeCollector()
    }
    return new Slab(this.#map(slab, bytes))
  }

  #map(slab: number, bytes: number): ArrayBuffer {
    try {
      return native.slab(this.#id, slab, bytes)
    } catch (cause) {
      throw new Breach(`it names a slab that there is not: ${(cause as Error).message}`, cause)
    }
  }

  /**
   * The guest is done with a slab of `bytes` bytes that holds `total` responses.
   *
   * @throws Breach if it cannot hold so many, or be so long
   */
  seal(slab: number, total: number, bytes: number): void {
    if (bytes > mostSlabBytes) throw new Breach(`it seals a slab of ${bytes} bytes`)
    const open = this.#open.get(slab) ?? this.#begin(slab, bytes)
    if (open.total >= 0 || total < Math.max(1, open.taken)) {
      throw new Breach(`it seals a slab with ${total} responses, of which ${open.taken} have come`)
    }
    open.total = total
    if (open.taken === total) this.#forget(slab)
  }

  #find(slab: number, length: number): Slab {
    const open = this.#open.get(slab) ?? this.#begin(slab, slabBytes(length))
    this.#last = slab
    this.#lastSlab = open
    return open
  }

  #begin(slab: number, bytes: number): Slab {
    if (this.#open.size >= this.#most) throw new Breach(`it has ${this.#most} slabs open`)
    const open = this.own(slab, bytes)
    this.#open.set(slab, open)
    return open
  }

  #forget(slab: number): void {
    this.#open.delete(slab)
    if (slab === this.#last) this.#lastSlab = undefined
  }
}
