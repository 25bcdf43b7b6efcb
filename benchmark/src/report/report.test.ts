// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest'
import { someMachine, someRows } from '../testing/rows.ts'
import { report, significant } from './report.ts'

it('the report has rates, times, and ratios to both modes of the C server', () => {
  const line = report(someRows(), someMachine)
    .split('\n')
    .find((each) => each.startsWith('polyloop-rust'))
  expect(line?.split(/\s+/)).toEqual(['polyloop-rust', '600', '480', '780', '1.7', '32', '24.6', '5', '0.1'])
})

it('the report says what was not measured, and why', () => {
  const text = report([], { ...someMachine, missing: { koffi: 'no compiler' }, notes: ['Quick.'] })
  expect(text).toContain('koffi: not measured: no compiler\nQuick.')
  expect(text).toContain('not measured (goal 35x)')
})

it('figures have no exponent and no digits that mean nothing', () => {
  expect([1_234_567, 123.4, 12.34, 1.234, 0.01234].map(significant)).toEqual([
    '1,234,567',
    '123',
    '12.3',
    '1.2',
    '0.012',
  ])
})
