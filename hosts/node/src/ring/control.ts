// SPDX-License-Identifier: Apache-2.0

import type { Payload } from '../common/codec.ts'
import { Breach } from '../common/errors.ts'
import { entryWords, header, inlineRequestBytes, kind } from '../common/layout.ts'
import { native } from '../native/addon.ts'
import { isDraining } from '../native/hub.ts'
import type { Block } from './block.ts'
import type { RequestBuffers } from './request-buffers.ts'

/**
 * The host's end of the control ring: what is said of calls under way. A call is named by its slot and generation, for
 * it may be answered meanwhile. If the hub drains, it has the entries acted on afterwards; elsewhere a native call
 * does. A guest in a process of its own has a thread for that, which needs the call only if it sleeps.
 */
export class ControlRing {
  readonly #id: number
  readonly #block: Block
  readonly #words: Int32Array
  readonly #requestBuffers: RequestBuffers
  readonly #isRemote: boolean
  #tail = 0

  constructor(id: number, block: Block, requestBuffers: RequestBuffers, isRemote: boolean) {
    this.#isRemote = isRemote
    this.#id = id
    this.#block = block
    this.#words = block.words
    this.#requestBuffers = requestBuffers
  }

  /** Sends an item of a request stream. Returns the bytes of its payload. */
  item(slot: number, generation: number, requestBuffer: number, flags: number, payload: Payload): number {
    const at = this.#begin(slot, kind.item | (flags << 8), generation)
    const words = this.#words
    const length =
      payload === undefined ? 0 : this.#requestBuffers.place(requestBuffer, at, payload, inlineRequestBytes)
    words[at + 3] = length
    words[at + 6] = requestBuffer
    this.#publish(false)
    return length
  }

  /** A request stream has ended. */
  end(slot: number, generation: number): void {
    this.#begin(slot, kind.end, generation)
    this.#publish(false)
  }

  /** The caller gives the call up. */
  cancel(slot: number, generation: number): void {
    this.#begin(slot, kind.cancel, generation)
    this.#publish(true)
  }

  /** Lets the guest send n more items and bytes. */
  credit(slot: number, generation: number, items: number, bytes: number): void {
    const at = this.#begin(slot, kind.credit, generation)
    this.#words[at + 3] = bytes
    this.#words[at + 6] = items
    this.#publish(false)
  }

  #begin(slot: number, meta: number, generation: number): number {
    const { control, controlMask } = this.#block
    // SYNC POINT control
    const head = Atomics.load(this.#words, header.controlHead)
    // More than all of it are taken, too, if the head is said to be beyond the tail.
    if ((this.#tail - head) >>> 0 > controlMask) this.#makeRoom()
    const at = control + (this.#tail & controlMask) * entryWords
    this.#words.fill(0, at, at + entryWords)
    this.#words[at] = slot
    this.#words[at + 1] = meta
    this.#words[at + 2] = generation
    return at
  }

  /** In this process the ring is emptied by this thread. In another one it never fills up, while the guest is sound. */
  #makeRoom(): void {
    if (this.#isRemote) throw new Breach('it does not act on the control ring')
    native.actOnControlRing(this.#id)
  }

  #publish(atOnce: boolean): void {
    this.#tail = (this.#tail + 1) | 0
    // SYNC POINT control; SYNC POINT control-sleep
    Atomics.store(this.#words, header.controlTail, this.#tail)
    if (this.#isRemote && Atomics.load(this.#words, header.controlSleep) === 0) return
    if (atOnce || !isDraining()) native.actOnControlRing(this.#id)
  }
}
