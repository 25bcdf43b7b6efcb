// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import type { Row } from '../stats.ts'
import { someMachine, someRows } from '../testing/rows.ts'
import { summary } from './summary.ts'

describe('summary', () => {
  it('is one table of medians, one call at a time and many', () => {
    const text = summary(someRows(), someMachine)
    expect(text).toContain('| | 512 B, µs | 10 KB, µs | 100 KB, µs | 512 B, k/s | 10 KB, k/s | 100 KB, k/s |')
    expect(text).toContain('| Rust guest, threads | 1.7 | 33.3 | 333 | 2,500 | 125 | 12.5 |')
  })

  it('is wrapped, but for the table', () => {
    const prose = summary(someRows(), someMachine)
      .split('\n')
      .filter((line) => !line.startsWith('|'))
    expect(prose.length).toBeGreaterThan(3)
    expect(Math.max(...prose.map((line) => line.length))).toBeLessThanOrEqual(100)
  })

  it('says where Polyloop loses, and how many goals are missed, in a line each', () => {
    const faster = (row: Row): Row =>
      row.variant === 'uds-c' && row.bytes === 512 && row.outstanding === 1024
        ? { ...row, perSecond: { median: 5_000_000, min: 1, max: 5_000_000 } }
        : row
    const points = (summary(someRows().map(faster), someMachine).split('\n\n').at(-1) ?? '').split(/^- /m).slice(1)
    expect(points.map((point) => point.replaceAll(/\s+/g, ' ').trim())).toEqual([
      'Polyloop loses to C server, unix socket: 512 B, 1,024 outstanding (2.00 to 32.00 times as fast).',
      expect.stringMatching(/^Of \d+ goals that were measured \d+ are missed\.$/),
    ])
  })

  it('says that nothing is lost only if nothing is', () => {
    expect(summary(someRows(), someMachine)).toContain('Polyloop is slower than none')
  })

  it('can be made of nothing', () => expect(summary([], someMachine)).not.toMatch(/NaN|undefined|Infinity/))
})
