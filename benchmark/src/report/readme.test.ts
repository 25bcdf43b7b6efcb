// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import type { Row } from '../stats.ts'
import { someMachine, someRows } from '../testing/rows.ts'
import { intoReadme, markdown } from './readme.ts'

const [START_MARK, END_MARK] = ['<!-- bench:start -->', '<!-- bench:end -->']

describe('intoReadme', () => {
  it('replaces what is between the marks, and only that', () => {
    const readme = `# Title\n${START_MARK}\nold\n${END_MARK}\nrest\n`
    const written = intoReadme(readme, someRows(), someMachine)
    expect(written).toMatch(/^# Title\n<!-- bench:start -->\nMeasured 2030-01-02/)
    expect(written).toMatch(/<!-- bench:end -->\nrest\n$/)
    expect(written).not.toContain('old')
    expect(intoReadme(written, someRows(), someMachine)).toBe(written)
  })

  it('writes one table for a page that asks for no more', () => {
    const readme = `${START_MARK}\n${END_MARK}\n<!-- bench:summary:start -->\nold\n<!-- bench:summary:end -->\n`
    const written = intoReadme(readme, someRows(), someMachine)
    const [all, one = ''] = written.split('<!-- bench:summary:start -->')
    expect(all).toContain('1,024 outstanding, thousand calls a second')
    expect(one).toMatch(/^\nMedians, measured 2030-01-02/)
    expect(one.match(/^\|---/gm)).toHaveLength(1)
    expect(written).not.toContain('old')
    expect(intoReadme(written, someRows(), someMachine)).toBe(written)
  })

  it.each([
    'no marks',
    `${START_MARK} only`,
    `${END_MARK} ${START_MARK}`,
    `${START_MARK}${END_MARK}${START_MARK}${END_MARK}`,
    `${START_MARK}${END_MARK}<!-- bench:summary:start -->`,
  ])('refuses a file with other marks: %s', (readme) => {
    expect(() => intoReadme(readme, someRows(), someMachine)).toThrow('needs one')
  })
})

describe('markdown', () => {
  it('has a line of all sizes for every variant', () => {
    expect(markdown(someRows(), someMachine)).toContain('| Rust guest, threads | 1.7 (1.3-2.1) | 13.3 (10.3-16.7) |')
  })

  it('shows what requests in memory of alloc gain', () => {
    const [rows, variant] = [someRows(), 'polyloop-rust-process'] as const
    expect(markdown(rows, someMachine)).not.toContain('alloc')
    const copied = rows.find((row) => row.variant === variant && row.bytes === 10_240 && row.outstanding === 1)
    const more = { ...copied, bench: 'in-place', perSecond: { median: 27_000, min: 1, max: 2 } } as Row
    expect(markdown([...rows, more], someMachine)).toContain(
      '| Rust guest, own process, in memory of `alloc` | 27 (0.9 of threads) | - |',
    )
  })

  it('says that nothing is lost only where nothing is', () => {
    expect(markdown(someRows(), someMachine)).toContain('Polyloop is slower than none')
  })

  it('says where Polyloop loses, and by how much', () => {
    const rows = someRows().map((row) => {
      const won = row.variant === 'koffi' && row.outstanding === 64 && row.bytes === 102_400
      return won ? { ...row, perSecond: { median: 25_000, min: 1, max: 25_000 } } : row
    })
    const text = markdown(rows, someMachine)
    expect(text).toContain('- 100 KB, 64 outstanding: koffi, async call of C is 2 times as fast as Rust guest, threads')
    expect(text).not.toContain('slower than none')
  })

  it('lists the goals that were missed, and what could not be measured', () => {
    const text = markdown(someRows(), { ...someMachine, missing: { koffi: 'it is not installed' } })
    expect(text).toContain('- Rust / C server, sequential, 512 B: MISSED 32x (goal 35x)')
    expect(text).toContain('- koffi: not measured: it is not installed')
  })
})
