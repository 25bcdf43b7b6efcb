// SPDX-License-Identifier: Apache-2.0
import { type Block, entryWords, header, kind, requestBytes } from './block.ts'
import type { Payload } from './codec.ts'
import { native } from './native.ts'

/** Texts up to this length fit a slot whatever they hold: 3 bytes of UTF-8 a UTF-16 unit at most. */
const surelyFits = Math.floor(requestBytes / 3)

/** Memory whose end may become unreadable, by `resize`, while it is pinned. */
function isResizable({ buffer }: Uint8Array): boolean {
  return (buffer as { readonly resizable?: boolean }).resizable === true
}

/** The host's end of the submission ring. */
export class SubmissionRing {
  readonly #id: number
  readonly #block: Block
  readonly #words: Int32Array
  readonly #bytes: Buffer
  #tail = 0

  constructor(id: number, block: Block) {
    this.#id = id
    this.#block = block
    this.#words = block.words
    this.#bytes = block.bytes
  }

  /**
   * Publishes a call and rings the guest's doorbell if its poller sleeps.
   *
   * @param slot - the task's slot, free until now
   * @param flags - `flag.*`
   * @param method - index in the manifest
   * @param deadline - nanoseconds of the monotonic clock, 0 for none
   * @returns bytes of the payload
   */
  push(slot: number, flags: number, method: number, payload: Payload, deadline: number): number {
    const block = this.#block
    const words = this.#words
    // STOP 4 submission ring
    const index = this.#tail & block.sqMask
    const at = block.sq + index * entryWords
    words[at] = slot
    words[at + 1] = kind.call | (flags << 8) | (method << 16)
    words[at + 2] = 0
    words[at + 4] = 0
    words[at + 5] = 0
    words[at + 6] = deadline
    words[at + 7] = deadline === 0 ? 0 : deadline / 0x1_0000_0000
    const length = payload === undefined ? 0 : this.#place(slot, index, payload)
    words[at + 3] = length
    this.#tail = (this.#tail + 1) | 0
    // SYNC POINT submit; SYNC POINT guest-sleep
    Atomics.store(words, header.sqTail, this.#tail)
    // STOP 5 doorbell
    if (Atomics.load(words, header.sleep) !== 0) native.doorbell(this.#id)
    return length
  }

  /** Copies a small payload into its slot and pins a large one. */
  #place(slot: number, index: number, payload: string | Uint8Array): number {
    const start = this.#block.requests + slot * requestBytes
    if (typeof payload === 'string') {
      if (payload.length <= surelyFits) return this.#bytes.write(payload, start, requestBytes, 'utf8')
      return this.#place(slot, index, Buffer.from(payload))
    }
    // Empty bytes may have been detached while the call waited.
    if (payload.length === 0) return 0
    if (payload.length <= requestBytes) this.#bytes.set(payload, start)
    else native.pin(this.#id, slot, index, isResizable(payload) ? Buffer.from(payload) : payload)
    return payload.length
  }

  /** Marks the request of an answered task as free; the add-on then lets go of a pinned one. */
  free(slot: number): void {
    this.#bytes[this.#block.pins + slot] = 0
  }
}
