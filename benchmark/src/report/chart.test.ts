// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { OUTSTANDING, SIZES } from '../schedule.ts'
import { someMachine, someRows } from '../testing/rows.ts'
import { ECHO_NAMES } from '../variants/names.ts'
import { chart } from './chart.ts'

/** Throws unless every tag is closed in order and no text holds a bare `&` or `<`. */
function assertWellFormed(xml: string): void {
  const open: string[] = []
  for (const [tag, end, name = '', , selfClosed] of xml.matchAll(
    /<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/gi,
  )) {
    if (end === '/') expect(open.pop(), tag).toBe(name)
    else if (selfClosed === '') open.push(name)
  }
  expect(open).toEqual([])
  const texts = xml.replace(/<[^<>]*>/g, '')
  expect(texts).not.toMatch(/[<>]|&(?!(amp|lt|gt);)/)
}

describe('chart', () => {
  it('is a well-formed document', () => {
    const svg = chart(someRows(), someMachine)
    assertWellFormed(svg)
    expect(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"')).toBe(true)
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })

  it('has a bar for every row', () => {
    const bars = chart(someRows(), someMachine).match(/<rect class="(rust|python|rival)"/g)
    expect(bars).toHaveLength(OUTSTANDING.length * SIZES.length * ECHO_NAMES.length)
  })

  it('says what was not measured', () => {
    const without = someRows().filter((row) => row.variant !== 'koffi')
    const svg = chart(without, someMachine)
    assertWellFormed(svg)
    expect(svg.match(/not measured/g)).toHaveLength(OUTSTANDING.length * SIZES.length)
  })

  it('has colours for both schemes and loads nothing', () => {
    const svg = chart(someRows(), someMachine)
    expect(svg).toContain('@media (prefers-color-scheme: dark)')
    expect(svg).not.toMatch(/url\(|@import|href/)
  })

  it('can be drawn of nothing', () => assertWellFormed(chart([], someMachine)))
})
