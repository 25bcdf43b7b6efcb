// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { render } from './support/table.ts'

test('the matrix shows what passed, failed and cannot be, between its title and an empty line', () => {
  const row = { language: 'rust', placement: 'thread' }
  const other = { language: 'c', placement: 'process' }
  const text = render([
    { ...row, column: 'errors', passed: 3, failed: 0, cannot: 0 },
    { ...other, column: 'errors', passed: 1, failed: 1, cannot: 1 },
    { ...row, column: 'reload', passed: 0, failed: 0, cannot: 0 },
    { ...other, column: 'reload', passed: 0, failed: 0, cannot: 2 },
    { ...other, column: 'sharing', passed: 0, failed: 2, cannot: 0 },
  ])
  expect(text.split('\n')).toEqual([
    'conformance matrix',
    '              errors                        reload            sharing',
    'rust, thread  3 passed                      no cases: failed  -',
    'c, process    1 failed, 1 passed, 1 cannot  cannot            2 failed',
    '',
  ])
})
