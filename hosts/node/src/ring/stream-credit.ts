// SPDX-License-Identifier: Apache-2.0

import type { Input, Sink } from '../call/request-stream.ts'
import type { Output } from '../call/response-stream.ts'
import { Breach, PolyloopError } from '../common/errors.ts'
import { type Block, flag } from './block.ts'
import type { ControlRing } from './control.ts'
import { Held } from './held.ts'
import type { Carriers } from './request-buffers.ts'

/** A stream gets this share of the credit that is left, so that those that come later get some, too. */
const share = 1 / 4

/** The streams of one runtime: who feeds the items under way, and how much credit is left for those of guests. */
export class Flows {
  readonly #control: ControlRing
  readonly #carriers: Carriers
  /** What feeds the items under way, and their bytes, by their carrier. */
  readonly #items = new Map<number, { readonly input: Input; readonly bytes: number }>()
  readonly #held = new Held()
  /** Credit for items beyond the first of each stream. */
  #credits: number
  #isOver = false

  constructor(block: Block, control: ControlRing, carriers: Carriers) {
    this.#control = control
    this.#carriers = carriers
    this.#credits = block.credits - block.slots
  }

  /** The first credit of a response stream, in items. */
  lend(output: Output): number {
    const further = Math.min(output.ahead - 1, Math.ceil(this.#credits * share))
    this.#credits -= further
    output.window = 1 + further
    return output.window
  }

  /** The stream is over: others may have its credit. */
  takeBack(output: Output): void {
    this.#credits += output.window - 1
  }

  /** The way of a request stream's items into the guest; `count` hears of their bytes. */
  sink(slot: number, generation: number, input: Input, count: (bytes: number) => void): Sink {
    return {
      send: ({ flags, payload }) => {
        const carrier = this.#carriers.take(slot)
        if (carrier === undefined) return this.#full()
        const bytes = this.#control.item(slot, generation, carrier, flags, payload)
        this.#items.set(carrier, { input, bytes })
        count(bytes)
        return bytes
      },
      end: () => this.#control.end(slot, generation),
      whenFree: (then) => this.#carriers.whenFree(then),
    }
  }

  /** No place is free. Where guests hold all of them, none will be before their functions end, which wait for more. */
  #full(): undefined {
    if (this.#items.size > 0) return
    const message = `guests keep ${this.#held.size} items of streams, and there is no place for another: copy what is kept`
    throw new PolyloopError('overloaded', message)
  }

  /** The guest has given an item back. */
  givenBack(carrier: number, flags: number): void {
    const item = this.#items.get(carrier)
    if (item === undefined) {
      if (this.#isOver) return
      throw new Breach('it gives an item back that it was not given')
    }
    this.#items.delete(carrier)
    if (this.#held.answered(carrier, (flags & flag.held) !== 0)) this.#carriers.give(carrier)
    item.input.acknowledge(item.bytes)
  }

  /** The guest has let go of an item that it held. */
  release(carrier: number): void {
    if (!this.#items.has(carrier) && !this.#held.has(carrier)) {
      if (this.#isOver) return
      throw new Breach('it lets go of an item that it does not hold')
    }
    if (this.#held.released(carrier)) this.#carriers.give(carrier)
  }

  /** The guest has died: nothing will be given back. */
  clear(): void {
    this.#isOver = true
    this.#items.clear()
  }
}
