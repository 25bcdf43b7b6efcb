// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { Random } from './random.ts'

test('a seed gives the same numbers again, of every magnitude', () => {
  const draw = (seed: number): number[] => {
    const random = new Random(seed)
    return Array.from({ length: 1000 }, () => random.length(200_000))
  }
  expect(draw(3)).toEqual(draw(3))
  expect(draw(3)).not.toEqual(draw(4))
  expect(Math.min(...draw(3))).toBeLessThan(3)
  expect(Math.max(...draw(3))).toBeGreaterThan(100_000)
})
