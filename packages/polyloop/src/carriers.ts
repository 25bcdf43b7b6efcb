// SPDX-License-Identifier: Apache-2.0
import { type Block, requestBytes } from './block.ts'
import { PolyloopError } from './errors.ts'
import { native } from './native.ts'

/** Memory whose end may become unreadable, by `resize`, while it is pinned. */
function isResizable({ buffer }: Uint8Array): boolean {
  return (buffer as { readonly resizable?: boolean }).resizable === true
}

/** The places that requests, and items of request streams, travel in. */
export class Carriers {
  readonly #id: number
  readonly #block: Block
  readonly #bytes: Buffer
  /** Free places for items of any task. */
  readonly #pool: number[]
  /** A byte for each place: 1 while what lies elsewhere for it is kept. Never in memory that another process writes. */
  readonly #pins: Uint8Array
  /** 1 where a task's own place for an item is in use. */
  readonly #reserved: Uint8Array
  #waiting: (() => void)[] = []

  constructor(id: number, block: Block, pins: Uint8Array = block.bytes.subarray(block.pins)) {
    this.#id = id
    this.#block = block
    this.#bytes = block.bytes
    this.#pins = pins
    const first = block.slots * 2
    this.#pool = Array.from({ length: block.carriers - first }, (_, index) => first + index)
    this.#reserved = new Uint8Array(block.slots)
  }

  /** A place for an item of the task in `slot`; undefined where it has to wait. */
  take(slot: number): number | undefined {
    if (this.#reserved[slot] === 0) {
      this.#reserved[slot] = 1
      return this.#block.slots + slot
    }
    return this.#pool.pop()
  }

  /** Gives an item's place back. */
  give(carrier: number): void {
    const { slots } = this.#block
    this.free(carrier)
    if (carrier < slots * 2) this.#reserved[carrier - slots] = 0
    else this.#pool.push(carrier)
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
   * Copies a small payload into its place and pins a large one, or copies it to where another process reads it.
   *
   * @param word - where its entry begins, in 32-bit words
   * @param room - bytes that it may take of its place
   * @returns bytes of the payload
   * @throws overloaded where there is no memory to place it in
   */
  place(carrier: number, word: number, payload: string | Uint8Array, room: number): number {
    const start = this.start(carrier)
    if (typeof payload === 'string') {
      // 3 bytes of UTF-8 a UTF-16 unit at most: it fits whatever it holds.
      if (payload.length * 3 <= room) return this.#bytes.write(payload, start, room, 'utf8')
      return this.place(carrier, word, Buffer.from(payload), room)
    }
    // Empty bytes may have been detached while the call waited.
    if (payload.length === 0) return 0
    if (payload.length <= room) this.#bytes.set(payload, start)
    else this.#pin(carrier, word, isResizable(payload) ? Buffer.from(payload) : payload)
    return payload.length
  }

  #pin(carrier: number, word: number, payload: Uint8Array): void {
    try {
      native.pin(this.#id, carrier, word, payload)
    } catch (cause) {
      const message = `there is no memory for a request of ${payload.length} bytes: ${(cause as Error).message}`
      throw new PolyloopError('overloaded', message, { cause })
    }
  }

  /** Where the place begins in the block. */
  start(carrier: number): number {
    return this.#block.requests + carrier * requestBytes
  }

  /** Marks the request of an answered task as free; the add-on then lets go of a pinned one. */
  free(carrier: number): void {
    this.#pins[carrier] = 0
  }
}
