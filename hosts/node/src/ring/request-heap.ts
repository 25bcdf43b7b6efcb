// SPDX-License-Identifier: Apache-2.0

import { PolyloopError } from '../common/errors.ts'
import { inlineRequestBytes } from '../common/layout.ts'
import { native } from '../native/addon.ts'
import { nudgeCollector, view } from './buffers.ts'

/** Requests up to here have memory in common. */
const sharedUpTo = 256 << 10
const chunkBytes = 1 << 20
/** The smallest place; what is smaller fits its request buffer. */
const smallest = 8 << 10
/** Bytes of free places that are kept for the next requests: what a burst took beyond that is collected. */
const keptBytes = 64 << 20

/** The add-on has no place for what a guest is to read: `too-large` if it never has. */
export function noMemory(what: string, cause: unknown): PolyloopError {
  const { code, message } = cause as { readonly code?: string; readonly message: string }
  const isNever = code === 'too-large'
  return new PolyloopError(isNever ? 'too-large' : 'overloaded', `there is no memory for ${what}: ${message}`, {
    cause,
  })
}

/** Where one request after the other is copied to. */
export interface Allocation {
  readonly bytes: Buffer
  /** Where it begins for the guest. */
  readonly address: number
}

/**
 * Memory that the guests of a runtime read requests in, whichever of its instances they are: what is written here need not
 * be pinned, or copied, to be sent.
 */
export class RequestHeap {
  readonly #id: number
  #state: 'new' | 'open' | 'closed' = 'new'
  /** Where memory that callers have begins for the guest. */
  readonly #addresses = new WeakMap<ArrayBufferLike, number>()
  #chunk: ArrayBuffer | undefined
  #used = chunkBytes
  /** Free places by their size, a power of two; the last one freed is the warmest. */
  readonly #free = new Map<number, Allocation[]>()
  /** Their bytes. */
  #kept = 0
  /** What guests that are out of reach may read. */
  readonly #stray: (ArrayBufferLike | Allocation)[] = []

  /** @param id - what the add-on is to know it by */
  constructor(id: number) {
    this.#id = id
  }

  /**
   * An instance is to read there. Returns what the add-on knows it by.
   *
   * @param isRemote - whether instances have processes of their own
   * @throws unloaded if no instance may begin any more: nobody would close it again; overloaded if there is no address space
   */
  open(isRemote: boolean): number {
    if (this.#state === 'closed') throw new PolyloopError('unloaded', 'the guest was unloaded: load it again')
    if (this.#state === 'new') native.openRequestHeap(this.#id, isRemote ? 1 : 0)
    this.#state = 'open'
    return this.#id
  }

  /**
   * So many bytes for a caller, which say whatever was there before. Those that fit the place of a request are copied
   * there in any case, and are plain memory; so is what is asked for after the unload.
   *
   * @throws overloaded if there is none; too-large if there never is
   */
  alloc(bytes: number): Buffer {
    if (bytes <= inlineRequestBytes || this.#state !== 'open') return Buffer.allocUnsafe(bytes)
    if (bytes > sharedUpTo) return view(this.#lasting(bytes), 0, bytes)
    if (this.#chunk === undefined || this.#used + bytes > chunkBytes) {
      this.#chunk = this.#lasting(chunkBytes)
      this.#used = 0
    }
    const start = this.#used
    // On a line of its own: two requests may be read and written at once.
    this.#used += (bytes + 127) & ~127
    return view(this.#chunk, start, bytes)
  }

  /** Memory that is there as long as callers have it. */
  #lasting(bytes: number): ArrayBuffer {
    const [memory, address] = this.#map(bytes)
    this.#addresses.set(memory, address)
    return memory
  }

  #map(bytes: number): [memory: ArrayBuffer, address: number] {
    try {
      nudgeCollector()
      return native.alloc(this.#id, bytes)
    } catch (cause) {
      throw noMemory(`requests of ${bytes} bytes`, cause)
    }
  }

  /** Keeps memory from serving others, as long as there are others. */
  keep(memory: readonly (ArrayBufferLike | Allocation)[]): void {
    this.#stray.push(...memory)
  }

  /** No request will be sent any more. What callers have stays theirs. */
  close(): void {
    if (this.#state === 'open') native.releaseRequestHeap(this.#id)
    this.#state = 'closed'
    // Whoever holds the runtime still is not to keep its memory.
    this.#chunk = undefined
    this.#free.clear()
    this.#stray.length = 0
  }

  /** Where the guest finds the bytes of a caller's; undefined if it cannot. */
  find({ buffer, byteOffset }: Uint8Array): number | undefined {
    const address = this.#addresses.get(buffer)
    return address === undefined ? undefined : address + byteOffset
  }

  /**
   * A place for a request of at most `bytes` bytes; undefined if that is more than a place has.
   *
   * @throws overloaded if there is none
   */
  take(bytes: number): Allocation | undefined {
    if (bytes > chunkBytes) return undefined
    const size = Math.max(smallest, 1 << (32 - Math.clz32(bytes - 1)))
    let free = this.#free.get(size)
    if (free === undefined) {
      free = []
      this.#free.set(size, free)
    }
    const place = free.pop()
    if (place === undefined) return this.#carve(size, free)
    this.#kept -= size
    return place
  }

  /** Makes places of new memory: all but the first are free. */
  #carve(size: number, free: Allocation[]): Allocation {
    const [memory, address] = this.#map(chunkBytes)
    const place = (start: number): Allocation => ({ bytes: view(memory, start, size), address: address + start })
    for (let start = chunkBytes - size; start > 0; start -= size) free.push(place(start))
    this.#kept += chunkBytes - size
    return place(0)
  }

  /** A place is free again. */
  give(place: Allocation): void {
    const size = place.bytes.length
    if (this.#kept + size > keptBytes) return
    this.#kept += size
    this.#free.get(size)?.push(place)
  }
}
