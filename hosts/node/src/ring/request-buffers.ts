// SPDX-License-Identifier: Apache-2.0

import { inlineRequestBytes } from '../common/layout.ts'
import { native } from '../native/addon.ts'
import type { Block } from './block.ts'
import { type Allocation, noMemory, type RequestHeap } from './request-heap.ts'

/** Memory whose end may become unreadable, by `resize`, while it is pinned. */
function isResizable({ buffer }: Uint8Array): boolean {
  return (buffer as { readonly resizable?: boolean }).resizable === true
}

/** The places that requests, and items of request streams, travel in. */
export class RequestBuffers {
  readonly #id: number
  readonly #block: Block
  readonly #bytes: Buffer
  /** Free places for items of any call. */
  readonly #pool: number[]
  /** A byte for each place: 1 while what lies elsewhere for it is kept. Never in memory that another process writes. */
  readonly #pins: Uint8Array
  /** 1 if a call's own place for an item is in use. */
  readonly #reserved: Uint8Array
  readonly #memory: RequestHeap
  /** What of it each request buffer's entry refers to: kept as long as the guest may read it. */
  readonly #lent: (ArrayBufferLike | Allocation | undefined)[]
  /** How many of them. */
  lent = 0
  /** Whether callers' bytes cannot be read where they are. */
  readonly #copies: boolean
  #waiting: (() => void)[] = []

  /**
   * @param memory - where the guest reads requests, beside the request buffers
   * @param copies - whether callers' bytes cannot be read where they are
   * @param pins - a byte for each request buffer
   */
  constructor(
    id: number,
    block: Block,
    memory: RequestHeap,
    copies: boolean,
    pins: Uint8Array = block.bytes.subarray(block.pins),
  ) {
    this.#id = id
    this.#block = block
    this.#bytes = block.bytes
    this.#pins = pins
    const first = block.slots * 2
    this.#pool = Array.from({ length: block.requestBuffers - first }, (_, index) => first + index)
    this.#reserved = new Uint8Array(block.slots)
    this.#memory = memory
    this.#lent = new Array<ArrayBufferLike | Allocation | undefined>(block.requestBuffers).fill(undefined)
    this.#copies = copies
  }

  /** A place for an item of the call in `slot`; undefined if it has to wait. */
  take(slot: number): number | undefined {
    if (this.#reserved[slot] === 0) {
      this.#reserved[slot] = 1
      return this.#block.slots + slot
    }
    return this.#pool.pop()
  }

  /** Gives an item's place back. */
  give(requestBuffer: number): void {
    const { slots } = this.#block
    this.free(requestBuffer)
    if (requestBuffer < slots * 2) this.#reserved[requestBuffer - slots] = 0
    else this.#pool.push(requestBuffer)
    // All: some of them may not want one any more.
    const waiting = this.#waiting
    this.#waiting = []
    for (const then of waiting) then()
  }

  /** Told once, when a place is given back; others are told, too. */
  whenFree(then: () => void): void {
    this.#waiting.push(then)
  }

  /**
   * Copies a small payload into its request buffer. A large one that lies in {@link memory} is left there; another is pinned,
   * or copied to where the guest reads it.
   *
   * @param word - where its entry begins, in 32-bit words
   * @param room - bytes that it may take of its request buffer
   * @returns bytes of the payload
   * @throws overloaded if there is no memory to place it in, too-large if there never is
   */
  place(requestBuffer: number, word: number, payload: Uint8Array | string, room: number): number {
    if (typeof payload === 'string') return this.#write(requestBuffer, word, payload, room)
    const { length } = payload
    // Empty bytes may have been detached while the call waited.
    if (length === 0) return 0
    if (length <= room) this.#bytes.set(payload, this.start(requestBuffer))
    else this.#refer(requestBuffer, word, payload)
    return length
  }

  #write(requestBuffer: number, word: number, text: string, room: number): number {
    // 1 to 3 bytes of UTF-8 a UTF-16 unit.
    const most = text.length * 3
    if (text.length <= room) {
      const written = this.#bytes.write(text, this.start(requestBuffer), room, 'utf8')
      // What did not fit was cut at its last whole character, of 4 bytes at most.
      if (most <= room || written < room - 3) return written
    } else {
      const place = this.#memory.take(most)
      if (place !== undefined) {
        this.#lend(requestBuffer, word, place.address, place)
        return place.bytes.write(text, 0, most, 'utf8')
      }
    }
    return this.place(requestBuffer, word, Buffer.from(text), room)
  }

  /** Has the entry say where the payload is. */
  #refer(requestBuffer: number, word: number, payload: Uint8Array): void {
    const address = this.#memory.find(payload)
    if (address !== undefined) {
      this.#lend(requestBuffer, word, address, payload.buffer)
      return
    }
    const place = this.#copies ? this.#memory.take(payload.length) : undefined
    if (place === undefined) this.#pin(requestBuffer, word, isResizable(payload) ? Buffer.from(payload) : payload)
    else {
      place.bytes.set(payload)
      this.#lend(requestBuffer, word, place.address, place)
    }
  }

  #lend(requestBuffer: number, word: number, address: number, memory: ArrayBufferLike | Allocation): void {
    const { words } = this.#block
    words[word + 4] = address
    words[word + 5] = address / 0x1_0000_0000
    this.#lent[requestBuffer] = memory
    this.lent++
  }

  #pin(requestBuffer: number, word: number, payload: Uint8Array): void {
    try {
      native.pin(this.#id, requestBuffer, word, payload)
    } catch (cause) {
      throw noMemory(`a request of ${payload.length} bytes`, cause)
    }
  }

  /** Where the place begins in the block. */
  start(requestBuffer: number): number {
    return this.#block.requests + requestBuffer * inlineRequestBytes
  }

  /** Takes everything back that was lent; what may be read still serves nobody any more. */
  clear(mayRead: boolean): void {
    if (mayRead) this.#memory.keep(this.#lent.filter((lent) => lent !== undefined))
    else for (let requestBuffer = 0; this.lent > 0; requestBuffer++) this.free(requestBuffer)
  }

  /** Marks the request of an answered call as free; the add-on then lets go of a pinned one. */
  free(requestBuffer: number): void {
    this.#pins[requestBuffer] = 0
    const lent = this.#lent[requestBuffer]
    if (lent === undefined) return
    this.#lent[requestBuffer] = undefined
    this.lent--
    if ('address' in lent) this.#memory.give(lent)
  }
}
