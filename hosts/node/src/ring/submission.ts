// SPDX-License-Identifier: Apache-2.0

import type { Payload } from '../common/codec.ts'
import { entryWords, header, inlineRequestBytes, kind } from '../common/layout.ts'
import { native } from '../native/addon.ts'
import type { Block } from './block.ts'
import type { RequestBuffers } from './request-buffers.ts'

/** What few calls have beside their payload. */
export interface EntryExtras {
  /** Items that the guest may send at first. */
  readonly credit: number
  /** JSON of the call's context, at most as long as a request buffer. */
  readonly context: Uint8Array | undefined
}

/** The host's end of the submission ring. */
export class SubmissionRing {
  readonly #id: number
  readonly #block: Block
  readonly #words: Int32Array
  readonly #requestBuffers: RequestBuffers
  /** How often the guest was asleep and was woken. */
  doorbells = 0
  #tail = 0

  constructor(id: number, block: Block, requestBuffers: RequestBuffers) {
    this.#id = id
    this.#block = block
    this.#words = block.words
    this.#requestBuffers = requestBuffers
  }

  /**
   * Publishes a call and rings the guest's doorbell if its poller sleeps.
   *
   * @param slot - the call's slot, free until now
   * @param flags - `flag.*`
   * @param method - index in the manifest
   * @param deadline - nanoseconds of the monotonic clock, 0 for none
   * @returns bytes of the payload
   */
  push(
    slot: number,
    flags: number,
    method: number,
    payload: Payload,
    deadline: number,
    extras: EntryExtras | undefined,
  ): number {
    const block = this.#block
    const words = this.#words
    // STOP 4 submission ring
    const at = block.sq + (this.#tail & block.sqMask) * entryWords
    words[at] = slot
    words[at + 1] = kind.call | (flags << 8) | (method << 16)
    words[at + 2] = 0
    words[at + 4] = 0
    words[at + 5] = 0
    words[at + 6] = deadline
    words[at + 7] = deadline === 0 ? 0 : deadline / 0x1_0000_0000
    const context = extras?.context?.length ?? 0
    const length =
      payload === undefined ? 0 : this.#requestBuffers.place(slot, at, payload, inlineRequestBytes - context)
    words[at + 3] = length
    if (extras !== undefined) this.#add(at, slot, length, extras)
    this.#tail = (this.#tail + 1) | 0
    // SYNC POINT submit; SYNC POINT guest-sleep
    Atomics.store(words, header.sqTail, this.#tail)
    // STOP 5 doorbell
    if (Atomics.load(block.parking, header.sleep) !== 0) {
      this.doorbells++
      native.doorbell(this.#id)
    }
    return length
  }

  /** The context lies behind the payload, or in its place if that lies elsewhere. */
  #add(at: number, slot: number, length: number, { credit, context }: EntryExtras): void {
    this.#words[at + 2] = credit | ((context?.length ?? 0) << 16)
    if (context === undefined) return
    const start = this.#requestBuffers.start(slot)
    // The entry would say it, too; but it lies where another process may have written meanwhile.
    const isPinned = length > inlineRequestBytes - context.length
    this.#block.bytes.set(context, isPinned ? start : start + length)
  }
}
