// SPDX-License-Identifier: Apache-2.0

import { PolyloopError } from '../common/errors.ts'
import { inlineRequestBytes } from '../common/layout.ts'
import type { Bounds } from '../common/options.ts'
import { tooLarge } from '../common/payload.ts'
import type { Call } from './call.ts'

/**
 * Lets calls in as long as the bounds allow; the others wait in order. A request larger than
 * `maxBytes` is let in when nothing else is in flight.
 */
export class Admission {
  /** Whether there is an instance that takes calls; without one all wait. */
  open = true
  readonly #bounds: Bounds
  #calls = 0
  #kept = 0
  #bytes = 0
  /** Calls in flight that were given up. */
  #abandoned = 0
  #queue: Call[] = []
  #next = 0
  /** Calls in the queue, from `#next` on, that were given up. */
  #forgotten = 0

  constructor(bounds: Bounds) {
    this.#bounds = bounds
  }

  /** Calls in flight. */
  get calls(): number {
    return this.#calls
  }

  /** Bytes of requests in flight. */
  get bytes(): number {
    return this.#bytes
  }

  /** Calls that somebody waits for: those that wait, and those in flight that were not given up. */
  get awaited(): number {
    return this.waiting + this.#calls - this.#abandoned
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#queue.length - this.#next - this.#forgotten
  }

  /**
   * Whether a call may go now; otherwise the call waits, and {@link next} hands it out later.
   *
   * @throws too-large, or overloaded if callers are not to wait
   */
  admit(call: Call): boolean {
    // STOP 3 admit
    const { maxPayload } = this.#bounds
    if (typeof call.payload === 'string' && !this.#isSurelyShort(call.size)) {
      call.size = Buffer.byteLength(call.payload)
    }
    if (call.size > maxPayload) throw tooLarge(call.size, maxPayload)
    if (this.waiting === 0 && this.#fits(call.size)) return true
    if (this.#bounds.whenFull === 'fail' && (this.open || this.waiting >= this.#bounds.maxCalls))
      throw this.#overloaded()
    this.#queue.push(call)
    return false
  }

  /** The call that has waited longest and may go now. */
  next(): Call | undefined {
    while (this.#next < this.#queue.length) {
      const call = this.#queue[this.#next] as Call
      if (!call.abandoned && !this.#fits(call.size)) return undefined
      if (call.abandoned) this.#forgotten--
      this.#shift()
      if (!call.abandoned) return call
    }
    return undefined
  }

  /** A call is in flight: its request has a place, and `call.size` says how many bytes it takes. */
  enter(call: Call): void {
    this.#calls++
    this.#bytes += call.size
  }

  /** A call that had entered is over. */
  leave(call: Call): void {
    this.#calls--
    this.#bytes -= call.size
    if (call.abandoned) this.#abandoned--
  }

  /** A call in flight was given up: the guest may still answer it. */
  abandon(): void {
    this.#abandoned++
  }

  /** A call that waits was given up: nothing of it is kept. */
  forget(call: Call): void {
    call.payload = undefined
    this.#forgotten++
    // Amortised: half of the array is gone whenever it is moved.
    if (this.#forgotten * 2 <= this.#queue.length - this.#next) return
    this.#queue = this.#live()
    this.#next = 0
    this.#forgotten = 0
  }

  /** The guest keeps the request of a call that has left, and with it the call's place. */
  keep(): void {
    this.#kept++
  }

  /** The guest has given `count` such requests up. */
  giveUp(count = 1): void {
    this.#kept -= count
  }

  /** Takes all waiting calls out. */
  clear(): Call[] {
    const calls = this.#live()
    this.#queue = []
    this.#next = 0
    this.#forgotten = 0
    return calls
  }

  #live(): Call[] {
    return this.#queue.slice(this.#next).filter((call) => !call.abandoned)
  }

  /**
   * Whether a text of `length` UTF-16 units, which take 3 bytes each at most, is within every bound:
   * then its bytes need not be counted.
   */
  #isSurelyShort(length: number): boolean {
    const { maxBytes, maxPayload } = this.#bounds
    const most = length * 3
    return most <= inlineRequestBytes && most <= maxPayload && this.#bytes + most <= maxBytes && this.waiting === 0
  }

  #fits(size: number): boolean {
    const { maxCalls, maxBytes } = this.#bounds
    return this.open && this.#calls + this.#kept < maxCalls && (this.#calls === 0 || this.#bytes + size <= maxBytes)
  }

  #shift(): void {
    this.#next++
    // Amortised: half of the array is gone whenever it is moved.
    if (this.#next * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#next)
      this.#next = 0
    }
  }

  #overloaded(): PolyloopError {
    const { maxCalls, maxBytes } = this.#bounds
    const kept = this.#kept === 0 ? '' : `, the guest keeps the requests of ${this.#kept} more`
    const state = `${this.#calls} calls and ${this.#bytes} bytes are in flight${kept}`
    const bounds = `maxCalls is ${maxCalls} and maxBytes ${maxBytes}`
    const advice = "call less, raise the bounds, or set whenFull to 'wait'"
    return new PolyloopError('overloaded', `${state}; ${bounds}: ${advice}`)
  }
}
