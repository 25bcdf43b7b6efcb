// SPDX-License-Identifier: Apache-2.0

/** Numbers that a seed gives again: xorshift of 32 bits. */
export class Random {
  #state: number

  constructor(seed: number) {
    // 0 would stay 0.
    this.#state = seed | 0 || 1
  }

  /** An integer from 0 to below `end`. */
  below(end: number): number {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state
    return (state >>> 0) % end
  }

  /** Whether something happens that does once in so many times. */
  once(inTimes: number): boolean {
    return this.below(inTimes) === 0
  }

  /** A length: most are small, few large, and all magnitudes come. */
  length(most: number): number {
    return this.below(Math.min(most, 2 ** (1 + this.below(Math.ceil(Math.log2(most)) + 1))) + 1)
  }
}
