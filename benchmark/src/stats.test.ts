// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import type { Cell } from './cell.ts'
import { Collection, median } from './stats.ts'

const cell: Cell = {
  bench: 'echo',
  variant: 'uds-c',
  bytes: 512,
  outstanding: 64,
  pin: null,
  warmMs: 1,
  measureMs: 1,
}

describe('median', () => {
  it('is the middle of an odd number of values, in any order', () => expect(median([9, 1, 5])).toBe(5))
  it('is the mean of the middle two of an even number', () => expect(median([10, 1, 3, 2])).toBe(2.5))
  it('compares as numbers', () => expect(median([100, 9, 20])).toBe(20))
  it('of nothing is an error', () => expect(() => median([])).toThrow(RangeError))
})

describe('Collection', () => {
  it('makes one row of the samples of a cell, with median and range', () => {
    const collection = new Collection(2)
    for (const perSecond of [300, 100, 200]) collection.add(cell, { perSecond, loopDelayP99Ms: perSecond / 100 })
    expect(collection.rows()).toEqual([
      {
        bench: 'echo',
        variant: 'uds-c',
        bytes: 512,
        outstanding: 64,
        cpus: 2,
        runs: 3,
        perSecond: { median: 200, min: 100, max: 300 },
        loopDelayP99Ms: 2,
      },
    ])
  })

  it('keeps pinned cells apart', () => {
    const collection = new Collection(2)
    collection.add(cell, { perSecond: 1, loopDelayP99Ms: null })
    collection.add({ ...cell, pin: 0 }, { perSecond: 2, loopDelayP99Ms: null })
    expect(collection.rows().map((row) => [row.cpus, row.perSecond.median, row.loopDelayP99Ms])).toEqual([
      [2, 1, null],
      [1, 2, null],
    ])
  })
})
