// SPDX-License-Identifier: Apache-2.0
import { type Block, entryWords, header, kind, requestBytes } from './block.ts'
import type { Carriers } from './carriers.ts'
import type { Payload } from './codec.ts'
import { Breach } from './errors.ts'
import { isDraining } from './hub.ts'
import { native } from './native.ts'

/**
 * The host's end of the control ring: what is said of calls under way. A task is named by its slot and generation, for
 * it may be answered meanwhile. Where the hub drains, it has the entries acted on afterwards; elsewhere a native call
 * does. A guest in a process of its own has a thread for that, which needs the call only if it sleeps.
 */
export class ControlRing {
  readonly #id: number
  readonly #block: Block
  readonly #words: Int32Array
  readonly #carriers: Carriers
  readonly #isRemote: boolean
  #tail = 0

  constructor(id: number, block: Block, carriers: Carriers, isRemote: boolean) {
    this.#isRemote = isRemote
    this.#id = id
    this.#block = block
    this.#words = block.words
    this.#carriers = carriers
  }

  /** Sends an item of a request stream. Returns the bytes of its payload. */
  item(slot: number, generation: number, carrier: number, flags: number, payload: Payload): number {
    const at = this.#begin(slot, kind.item | (flags << 8), generation)
    const words = this.#words
    const length = payload === undefined ? 0 : this.#carriers.place(carrier, at, payload, requestBytes)
    words[at + 3] = length
    words[at + 6] = carrier
    this.#publish(false)
    return length
  }

  /** A request stream has ended. */
  end(slot: number, generation: number): void {
    this.#begin(slot, kind.end, generation)
    this.#publish(false)
  }

  /** The caller gives the task up. */
  cancel(slot: number, generation: number): void {
    this.#begin(slot, kind.cancel, generation)
    this.#publish(true)
  }

  /** Lets the guest send so many more items and bytes. */
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
    // More than all of it are taken, too, where the head is said to be beyond the tail.
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
