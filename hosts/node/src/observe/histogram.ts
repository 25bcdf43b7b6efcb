// SPDX-License-Identifier: Apache-2.0

/** Buckets for each power of two: a value is known to an eighth of itself. */
const parts = 8
/** Powers of two of a nanosecond, up to 18 minutes. */
const powers = 40

/** What was measured, in milliseconds. All 0 if nothing was. */
export interface Summary {
  /** How many values. */
  readonly count: number
  readonly mean: number
  readonly max: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

/** Counts durations in buckets that grow with them. */
export class Histogram {
  count = 0
  /** Of all, in nanoseconds. */
  sum = 0
  #max = 0
  readonly #buckets = new Float64Array(powers * parts)

  /** @param nanoseconds - below 0 counts as 0: two clocks may differ */
  add(nanoseconds: number): void {
    const value = Math.max(0, nanoseconds)
    this.count++
    this.sum += value
    if (value > this.#max) this.#max = value
    const bucket = bucketOf(value)
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1
  }

  summary(): Summary {
    const at = (share: number): number => this.#quantile(share) / 1e6
    const mean = this.count === 0 ? 0 : this.sum / this.count / 1e6
    return { count: this.count, mean, max: this.#max / 1e6, p50: at(0.5), p90: at(0.9), p99: at(0.99) }
  }

  /** How many values lie below 2 to this power, in nanoseconds. */
  below(power: number): number {
    let count = 0
    for (let bucket = 0; bucket < power * parts; bucket++) count += this.#buckets[bucket] ?? 0
    return count
  }

  /** The upper end of the bucket below which this share of the values lies. */
  #quantile(share: number): number {
    let left = share * this.count
    for (let bucket = 0; bucket < this.#buckets.length && this.count > 0; bucket++) {
      left -= this.#buckets[bucket] ?? 0
      if (left <= 0) return Math.min(endOf(bucket), this.#max)
    }
    return this.#max
  }
}

function bucketOf(value: number): number {
  if (value < 1) return 0
  const power = Math.min(Math.floor(Math.log2(value)), powers - 1)
  const part = Math.floor((value / 2 ** power - 1) * parts)
  return power * parts + Math.min(part, parts - 1)
}

function endOf(bucket: number): number {
  return 2 ** Math.floor(bucket / parts) * (1 + ((bucket % parts) + 1) / parts)
}
