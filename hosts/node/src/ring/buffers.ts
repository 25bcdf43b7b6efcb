// SPDX-License-Identifier: Apache-2.0
import { markAsUntransferable } from 'node:worker_threads'

type BufferClass = new (memory: ArrayBuffer, offset: number, length: number) => Buffer

/**
 * The class that Buffers are really made of: `Buffer.from` and `subarray` check their arguments first
 * and take twice as long. Buffer names it as its species, by the language's own protocol.
 */
const species: unknown = (Buffer as unknown as Record<symbol, unknown>)[Symbol.species]

/** A Buffer over part of a memory. */
export const view: (memory: ArrayBuffer, offset: number, length: number) => Buffer = isBufferClass(species)
  ? (memory, offset, length) => new species(memory, offset, length)
  : (memory, offset, length) => Buffer.from(memory, offset, length)

function isBufferClass(found: unknown): found is BufferClass {
  return typeof found === 'function' && found.prototype === Buffer.prototype
}

/** The last one is kept, so that no compiler leaves its making out. */
const nudge = { last: new ArrayBuffer(0) }

/**
 * To be called before memory of ours is shown to JavaScript. Memory that is not V8's own makes it collect the whole heap,
 * every 64 MB of it. If V8 allocates a store itself, however small, it first looks whether 32 MB of young ones wait,
 * ours too, and collects just those. (V8 13 looks at 64 MB: too late to help.)
 */
export function nudgeCollector(): void {
  nudge.last = new ArrayBuffer(1)
}

/** Bytes that are allocated at once for many small copies. */
const poolBytes = 65_536

/** Where small responses are copied to: as Buffer's own pool, but larger, and filled by this thread alone. */
export class Pool {
  #memory = new ArrayBuffer(0)
  #used = 0

  /** A copy of at most some kilobytes. */
  copy(from: Uint8Array): Buffer {
    const length = from.length
    if (this.#used + length > this.#memory.byteLength) {
      this.#memory = Buffer.allocUnsafeSlow(poolBytes).buffer as ArrayBuffer
      // As Buffer's own pool: who transfers one response would take the others' memory away.
      markAsUntransferable(this.#memory)
      this.#used = 0
    }
    const out = view(this.#memory, this.#used, length)
    // Aligned to 8, as Buffer's own pool does: numbers in it can then be viewed in place.
    this.#used += (length + 7) & ~7
    out.set(from)
    return out
  }
}
