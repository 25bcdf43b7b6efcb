// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { environment, matrices } from './conformance.ts'

test('the matrix is taken from its heading to an empty line, out of what else is printed', () => {
  const output = [
    '✓ a test',
    '',
    'conformance matrix',
    '            values',
    'rust thread 3 passed  ',
    '',
    'Tests 3',
    '',
  ]
  expect(matrices(output.join('\n'))).toBe('conformance matrix\n            values\nrust thread 3 passed')
})

test('a matrix may be the last that is printed, and there may be several', () => {
  expect(matrices('conformance matrix\na\n\nx\nconformance matrix\nb')).toBe(
    'conformance matrix\na\nconformance matrix\nb',
  )
})

test('without a matrix there is nothing to print', () => {
  expect(matrices('no conformance matrix here\n')).toBeUndefined()
})

test('what is chosen is said in the environment, and what is not is left to the suite', () => {
  expect(environment({ guests: [], placements: [] })).toEqual({})
  expect(environment({ guests: ['rust', 'c'], placements: ['process'] })).toEqual({
    POLYLOOP_CONFORMANCE_GUESTS: 'rust,c',
    POLYLOOP_CONFORMANCE_PLACEMENTS: 'process',
  })
})
