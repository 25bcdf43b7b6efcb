// SPDX-License-Identifier: Apache-2.0
import type { Bench, Cell, Sample, Subject } from './cell.ts'

/** One line of the result: what several processes measured of the same thing. */
export interface Row {
  bench: Bench
  variant: Subject
  bytes: number
  outstanding: number
  cpus: number
  runs: number
  perSecond: { median: number; min: number; max: number }
  loopDelayP99Ms: number | null
}

/** @throws RangeError if there is no value */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[sorted.length >> 1]
  const lower = sorted[(sorted.length - 1) >> 1]
  if (upper === undefined || lower === undefined) throw new RangeError('the median of no value')
  return (lower + upper) / 2
}

/** Collects samples and makes a row of those of the same cell. */
export class Collection {
  readonly #samples = new Map<string, { cell: Cell; samples: Sample[] }>()
  readonly #processors: number

  /** @param processors how many a cell has that is not pinned */
  constructor(processors: number) {
    this.#processors = processors
  }

  add(cell: Cell, sample: Sample): void {
    const key = [cell.bench, cell.variant, cell.bytes, cell.outstanding, cell.pin].join()
    const entry = this.#samples.get(key) ?? { cell, samples: [] }
    entry.samples.push(sample)
    this.#samples.set(key, entry)
  }

  rows(): Row[] {
    return [...this.#samples.values()].map(({ cell, samples }) => ({
      bench: cell.bench,
      variant: cell.variant,
      bytes: cell.bytes,
      outstanding: cell.outstanding,
      cpus: cell.pin === null ? this.#processors : 1,
      runs: samples.length,
      perSecond: summarize(samples.map((sample) => sample.perSecond)),
      loopDelayP99Ms: medianDelay(samples),
    }))
  }
}

function summarize(values: readonly number[]): Row['perSecond'] {
  return { median: round(median(values)), min: round(Math.min(...values)), max: round(Math.max(...values)) }
}

function medianDelay(samples: readonly Sample[]): number | null {
  const delays = samples.flatMap((sample) => sample.loopDelayP99Ms ?? [])
  return delays.length === 0 ? null : round(median(delays))
}

function round(value: number): number {
  return Number(value.toPrecision(6))
}
