// SPDX-License-Identifier: Apache-2.0

import type { RequestStream, Sink } from '../call/request-stream.ts'
import type { ResponseStream } from '../call/response-stream.ts'
import { Breach, PolyloopError } from '../common/errors.ts'
import { flag } from '../common/layout.ts'
import type { Block } from './block.ts'
import type { ControlRing } from './control.ts'
import { Held } from './held.ts'
import type { RequestBuffers } from './request-buffers.ts'

/** A stream gets this share of the credit that is left, so that those that come later get some, too. */
const share = 1 / 4

/** The streams of one instance: who feeds the items under way, and how much credit is left for those of guests. */
export class StreamCredit {
  readonly #control: ControlRing
  readonly #requestBuffers: RequestBuffers
  /** What feeds the items under way, and their bytes, by their request buffer. */
  readonly #items = new Map<number, { readonly requestStream: RequestStream; readonly bytes: number }>()
  readonly #held = new Held()
  /** Credit for items beyond the first of each stream. */
  #credits: number
  #isOver = false

  constructor(block: Block, control: ControlRing, requestBuffers: RequestBuffers) {
    this.#control = control
    this.#requestBuffers = requestBuffers
    this.#credits = block.credits - block.slots
  }

  /** The first credit of a response stream, in items. */
  lend(responseStream: ResponseStream): number {
    // ITEM 2 lend credit
    const further = Math.min(responseStream.ahead - 1, Math.ceil(this.#credits * share))
    this.#credits -= further
    responseStream.window = 1 + further
    return responseStream.window
  }

  /** The stream is over: others may have its credit. */
  takeBack(responseStream: ResponseStream): void {
    this.#credits += responseStream.window - 1
  }

  /** The way of a request stream's items into the guest; `count` hears of their bytes. */
  sink(slot: number, generation: number, requestStream: RequestStream, count: (bytes: number) => void): Sink {
    return {
      send: ({ flags, payload }) => {
        const requestBuffer = this.#requestBuffers.take(slot)
        if (requestBuffer === undefined) return this.#full()
        const bytes = this.#control.item(slot, generation, requestBuffer, flags, payload)
        this.#items.set(requestBuffer, { requestStream, bytes })
        count(bytes)
        return bytes
      },
      end: () => this.#control.end(slot, generation),
      whenFree: (then) => this.#requestBuffers.whenFree(then),
    }
  }

  /** No place is free. If guests hold all of them, none will be before their functions end, which wait for more. */
  #full(): undefined {
    if (this.#items.size > 0) return
    const message = `guests keep ${this.#held.size} items of streams, and there is no place for another: copy what is kept`
    throw new PolyloopError('overloaded', message)
  }

  /** The guest has given an item back. */
  givenBack(requestBuffer: number, flags: number): void {
    const item = this.#items.get(requestBuffer)
    if (item === undefined) {
      if (this.#isOver) return
      throw new Breach('it gives an item back that it was not given')
    }
    this.#items.delete(requestBuffer)
    if (this.#held.answered(requestBuffer, (flags & flag.held) !== 0)) this.#requestBuffers.give(requestBuffer)
    item.requestStream.acknowledge(item.bytes)
  }

  /** The guest has let go of an item that it held. */
  release(requestBuffer: number): void {
    if (!this.#items.has(requestBuffer) && !this.#held.has(requestBuffer)) {
      if (this.#isOver) return
      throw new Breach('it lets go of an item that it does not hold')
    }
    if (this.#held.released(requestBuffer)) this.#requestBuffers.give(requestBuffer)
  }

  /** The guest has died: nothing will be given back. */
  clear(): void {
    this.#isOver = true
    this.#items.clear()
  }
}
