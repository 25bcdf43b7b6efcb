// SPDX-License-Identifier: Apache-2.0
import { stamp, verifyStamp, verifyWhole } from './stamp.ts'
import type { Echo } from './variants/echo.ts'

/** A response in this many is compared byte for byte; the others by length and stamp. */
const WHOLE_EVERY = 1024
/** The clock is looked at once in this many calls, in case a variant keeps timers from firing. */
const CLOCK_EVERY = 64

/** Keeps a number of calls outstanding: as many async loops, each with a payload of its own. */
export class Callers {
  /** Calls answered and verified so far. */
  answered = 0
  readonly #echo: Echo
  readonly #finished: Promise<unknown>
  #deadline = Number.POSITIVE_INFINITY
  #overdue = false
  #stopped = false
  #reached: (() => void) | undefined

  /** @param alloc makes the payloads, which need not be cleared */
  constructor(
    echo: Echo,
    bytes: number,
    outstanding: number,
    alloc: (bytes: number) => Buffer = Buffer.allocUnsafeSlow,
  ) {
    this.#echo = echo
    const payloads = Array.from({ length: outstanding }, () => alloc(bytes).fill(0x5a))
    this.#finished = Promise.all(payloads.map((payload) => this.#loop(payload)))
    // Reported by whoever awaits next.
    this.#finished.catch(() => {})
  }

  /**
   * Lets the loops run for a while, and until a call is answered, however long that takes.
   * Resolves with the milliseconds that passed and the calls answered in them.
   */
  async run(milliseconds: number): Promise<{ elapsed: number; answered: number }> {
    const from = { time: performance.now(), answered: this.answered }
    this.#deadline = from.time + milliseconds
    const reached = new Promise<void>((resolve) => {
      this.#reached = resolve
    })
    const timer = setTimeout(() => {
      if (this.answered > from.answered) this.#reached?.()
      else this.#overdue = true
    }, milliseconds)
    await Promise.race([reached, this.#finished])
    clearTimeout(timer)
    this.#overdue = false
    this.#deadline = Number.POSITIVE_INFINITY
    return { elapsed: performance.now() - from.time, answered: this.answered - from.answered }
  }

  /** Lets the calls under way finish. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#finished
  }

  async #loop(payload: Buffer): Promise<void> {
    const bytes = payload.length
    for (let sequence = 1; !this.#stopped; sequence++) {
      stamp(payload, sequence)
      const response = await this.#echo.call(payload)
      verifyStamp(response, bytes, sequence)
      if (sequence % WHOLE_EVERY === 1) verifyWhole(response, payload)
      this.answered++
      if (this.#overdue) this.#reached?.()
      else if (this.answered % CLOCK_EVERY === 0 && performance.now() >= this.#deadline) this.#reached?.()
    }
  }
}
