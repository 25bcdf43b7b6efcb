// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import type { Subject } from '../cell.ts'
import type { Row } from '../stats.ts'
import { judge, sizeTitle, verdictText } from './goals.ts'

function row(variant: Subject, median: number, more: Partial<Row> = {}): Row {
  const perSecond = { median, min: median / 2, max: median * 4 }
  return { bench: 'echo', variant, bytes: 512, outstanding: 1, cpus: 2, runs: 3, perSecond, loopDelayP99Ms: 0, ...more }
}

function verdictOn(what: string, rows: Row[]): string {
  const verdict = judge(rows).find((candidate) => candidate.what === what)
  if (verdict === undefined) throw new Error(`no goal is called ${what}`)
  return verdictText(verdict)
}

describe('judge', () => {
  const pair = [row('polyloop-rust', 820_000), row('uds-c', 20_000)]

  it('compares medians', () => {
    expect(verdictOn('Rust / C server, sequential, 512 B', pair)).toBe('reached 41x (goal 35x)')
  })

  it("compares with the rival's best single run", () => {
    expect(verdictOn('Rust / its best run, sequential, 512 B', pair)).toBe('reached 10.2x (goal 5x)')
  })

  it('says what was missed', () => {
    const rows = [row('polyloop-rust', 62_000), row('uds-c', 20_000)]
    expect(verdictOn('Rust / C server, sequential, 512 B', rows)).toBe('MISSED 3.1x (goal 35x)')
  })

  it('does not round a miss up to its goal', () => {
    const rows = [row('polyloop-rust', 34_999), row('uds-c', 1000)]
    expect(verdictOn('Rust / C server, sequential, 512 B', rows)).toBe('MISSED 34.9x (goal 35x)')
  })

  it('takes rows on one processor for the goals on one processor only', () => {
    const rows = pair.map((each) => ({ ...each, cpus: 1 }))
    expect(verdictOn('Rust / C server, one processor, sequential, 512 B', rows)).toBe('reached 41x (goal 3x)')
    expect(verdictOn('Rust / C server, sequential, 512 B', rows)).toBe('not measured (goal 35x)')
  })

  it('counts what is missing as not measured', () => {
    expect(verdictOn('Python / Python server, 64, 4 KB', pair)).toBe('not measured (goal 2.5x)')
  })

  it('compares a process of its own with a thread, and two instances with one', () => {
    const rows = [
      row('polyloop-rust', 100),
      row('polyloop-rust-process', 84),
      row('polyloop-python-process', 10, { bench: 'instances', bytes: 0, outstanding: 1 }),
      row('polyloop-python-process', 19, { bench: 'instances', bytes: 0, outstanding: 2 }),
    ]
    expect(verdictOn('Rust, own process / thread, sequential, 512 B', rows)).toBe('MISSED 0.84x (goal 0.85x)')
    expect(verdictOn('a processor-bound Python function, 2 instances / 1', rows)).toBe('reached 1.9x (goal 1.8x)')
  })

  it('compares requests in memory of alloc with those that threads read where they are', () => {
    const large = { bytes: 10_240, outstanding: 64 }
    const rows = [
      row('polyloop-python', 100, large),
      row('polyloop-python-process', 50, large),
      row('polyloop-python-process', 90, { ...large, bench: 'in-place' }),
    ]
    expect(verdictOn('Python, own process / thread, 64, 10 KB', rows)).toBe('MISSED 0.5x (goal 0.8x)')
    expect(verdictOn('Python, own process, in memory of alloc, / thread, 64, 10 KB', rows)).toBe(
      'reached 0.9x (goal 0.8x)',
    )
    expect(judge(rows).some(({ what }) => what.includes('alloc') && what.endsWith('512 B'))).toBe(false)
  })

  it('wants many fires of a timer and no processor time', () => {
    const rows = [
      row('polyloop-rust', 880, { bench: 'loop-health', outstanding: 1024 }),
      row('polyloop-rust+polyloop-python', 0.2, { bench: 'idle', outstanding: 0 }),
    ]
    const timer = 'a 1 ms timer, 1,024 calls outstanding, polyloop-rust'
    expect(verdictOn(timer, rows)).toBe('MISSED 880 fires/s (goal 900 fires/s)')
    expect(verdictOn('processor time when idle', rows)).toBe('reached 0.2 ms/s (goal at most 1 ms/s)')
  })
})

it('sizeTitle names all sizes', () => {
  expect([512, 4096, 10_240, 102_400].map(sizeTitle)).toEqual(['512 B', '4 KB', '10 KB', '100 KB'])
})
