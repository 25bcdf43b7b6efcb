// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../call/call.ts'
import { generations } from '../common/layout.ts'
import { Held } from './held.ts'

/** The slots of a block: which call is in which, and which are free. */
export class Slots {
  readonly count: number
  /** Requests of answered calls that the guest holds. */
  readonly held: Held = new Held()
  readonly #calls: (Call | undefined)[]
  /** Free slots; the last one used is the warmest. */
  readonly #free: Int32Array
  #freeCount: number
  /** How often each slot was used. */
  readonly #uses: Int32Array

  constructor(count: number) {
    this.count = count
    this.#calls = new Array<Call | undefined>(count).fill(undefined)
    this.#uses = new Int32Array(count)
    this.#free = Int32Array.from({ length: count }, (_, index) => count - 1 - index)
    this.#freeCount = count
  }

  /** The call in a slot, if there is one. */
  at(slot: number): Call | undefined {
    return this.#calls[slot]
  }

  /** With a slot's generation a call is named if it may have been answered already. */
  generation(slot: number): number {
    return this.#uses[slot] as number
  }

  /** Gives a call a slot. Admission sees to it that one is free. */
  take(call: Call): number {
    const slot = this.#free[--this.#freeCount] as number
    this.#calls[slot] = call
    this.#uses[slot] = ((this.#uses[slot] as number) + 1) & generations
    call.slot = slot
    return slot
  }

  /** The call that a slot was taken for was never sent: the slot is as it was. */
  undo(slot: number): void {
    this.#uses[slot] = ((this.#uses[slot] as number) - 1) & generations
    this.leave(slot)
    this.recycle(slot)
  }

  /** The call in a slot is over. The guest may still hold its request. */
  leave(slot: number): void {
    const call = this.#calls[slot]
    this.#calls[slot] = undefined
    if (call !== undefined) call.slot = -1
  }

  /** A slot serves the next call. */
  recycle(slot: number): void {
    this.#free[this.#freeCount++] = slot
  }

  /** The calls that are in slots. */
  all(): Call[] {
    return this.#calls.filter((call) => call !== undefined)
  }

  /** All calls are over: takes them out. */
  clear(): Call[] {
    const calls = this.all()
    for (const { slot } of calls) this.leave(slot)
    return calls
  }
}
