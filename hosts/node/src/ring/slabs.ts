// SPDX-License-Identifier: Apache-2.0

import { Breach } from '../common/errors.ts'
import { slabBytes } from '../common/layout.ts'
import { native } from '../native/addon.ts'
import type { Block } from './block.ts'
import { nudgeCollector } from './buffers.ts'

/** Memory that responses lie in, as bytes to decode and as what views are made of. */
export interface SlabMemory {
  readonly bytes: Buffer
  readonly memory: ArrayBuffer
}

/** A class: V8 knows the shape of what its constructor makes, and every response looks at one. */
class Slab implements SlabMemory {
  readonly bytes: Buffer
  readonly memory: ArrayBuffer
  taken = 0
  /** How many responses it holds, once the guest is done with it; -1 until then. */
  total = -1

  constructor(memory: ArrayBuffer) {
    this.memory = memory
    this.bytes = Buffer.from(memory)
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
    this.#most = 2 * (slots + credits + 1)
  }

  /** The memory of a slab that responses share; counts one response as taken. */
  shared(slab: number): SlabMemory {
    const open = slab === this.#last && this.#lastSlab !== undefined ? this.#lastSlab : this.#find(slab)
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
    nudgeCollector()
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
   * The guest is done with a slab that holds `total` responses.
   *
   * @throws Breach if it cannot hold so many
   */
  seal(slab: number, total: number): void {
    const open = this.#find(slab)
    if (open.total >= 0 || total < Math.max(1, open.taken)) {
      throw new Breach(`it seals a slab with ${total} responses, of which ${open.taken} have come`)
    }
    open.total = total
    if (open.taken === total) this.#forget(slab)
  }

  #find(slab: number): Slab {
    let open = this.#open.get(slab)
    if (open === undefined) {
      if (this.#open.size >= this.#most) throw new Breach(`it has ${this.#most} slabs open`)
      open = this.own(slab, slabBytes)
      this.#open.set(slab, open)
    }
    this.#last = slab
    this.#lastSlab = open
    return open
  }

  #forget(slab: number): void {
    this.#open.delete(slab)
    if (slab === this.#last) this.#lastSlab = undefined
  }
}
