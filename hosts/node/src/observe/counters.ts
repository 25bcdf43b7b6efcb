// SPDX-License-Identifier: Apache-2.0
import type { PolyloopErrorCode } from '../common/errors.ts'
import { Histogram } from './histogram.ts'

/** Nanoseconds of the monotonic clock, which guests read, too. */
function now(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e9 + nanoseconds
}

/** Times of a timed call, in milliseconds. */
export interface CallTimes {
  /** Until a guest thread took the call. */
  readonly waited: number
  /** From then until now. */
  readonly ran: number
}

/** Counters of one runtime since its load. */
export class Counters {
  calls = 0
  late = 0
  requestBytes = 0
  responseBytes = 0
  readonly errors: Partial<Record<PolyloopErrorCode, number>> = {}
  /** Of timed calls: from the call until a guest thread took it. */
  readonly waiting: Histogram = new Histogram()
  /** Of timed calls: from then until the call settled. */
  readonly running: Histogram = new Histogram()
  readonly #sample: number
  #untilSample = 1
  readonly #began = new WeakMap<object, number>()

  /** @param sample - every n-th call is timed; 0: none */
  constructor(sample: number) {
    this.#sample = sample
  }

  /** Whether the next call is to be timed. */
  isDue(): boolean {
    if (this.#sample === 0 || --this.#untilSample > 0) return false
    this.#untilSample = this.#sample
    return true
  }

  /** A timed call begins. */
  begin(call: object): void {
    this.#began.set(call, now())
  }

  /** A timed call is over; `taken` is when a guest thread took it, 0 if none did. */
  end(call: object, taken: number): void {
    const began = this.#began.get(call)
    if (began === undefined || taken === 0) return
    this.waiting.add(taken - began)
    this.running.add(now() - taken)
  }

  /** How long a timed call waited, and ran until now; undefined if that is not known. */
  times(call: object, taken: number): CallTimes | undefined {
    const began = this.#began.get(call)
    if (began === undefined || taken === 0) return undefined
    return { waited: (taken - began) / 1e6, ran: (now() - taken) / 1e6 }
  }

  /** A call was rejected, or refused. */
  fail(code: PolyloopErrorCode): void {
    this.errors[code] = (this.errors[code] ?? 0) + 1
  }
}
