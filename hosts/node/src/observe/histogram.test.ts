// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { Histogram } from './histogram.ts'

test('an empty one is all zeros', () => {
  expect(new Histogram().summary()).toEqual({ count: 0, mean: 0, max: 0, p50: 0, p90: 0, p99: 0 })
})

test('quantiles are right to an eighth, the mean and the largest exactly', () => {
  const histogram = new Histogram()
  for (let value = 1; value <= 10_000; value++) histogram.add(value * 1000)
  const { count, mean, max, p50, p90, p99 } = histogram.summary()
  expect({ count, max }).toEqual({ count: 10_000, max: 10 })
  expect(mean).toBeCloseTo(5.0005, 9)
  for (const [found, wanted] of [
    [p50, 5],
    [p90, 9],
    [p99, 9.9],
  ] as const) {
    expect(found).toBeGreaterThanOrEqual(wanted)
    expect(found).toBeLessThanOrEqual(wanted * 1.13)
  }
})

test('every value falls into the bucket that ends above it, the smallest and the largest too', () => {
  for (const value of [0, 0.5, 1, 1.99, 2, 3, 1023, 1024, 1025, 1e9, 2 ** 39, 2 ** 39 + 1, 1e13]) {
    const histogram = new Histogram()
    histogram.add(value)
    expect(histogram.summary()).toMatchObject({ count: 1, max: value / 1e6 })
    const power = Math.min(Math.max(Math.floor(Math.log2(Math.max(value, 1))), 0), 39)
    expect([histogram.below(power), histogram.below(power + 1)]).toEqual([0, 1])
  }
})

test('a negative duration counts as none', () => {
  const histogram = new Histogram()
  histogram.add(-5)
  expect(histogram.summary()).toMatchObject({ count: 1, mean: 0, max: 0 })
})
