// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { vitest } from './vitest.ts'

test('a run that ends without a report says what it printed, and how it ended', async () => {
  const { counts, output, ended } = await vitest({ args: ['--no-such-option'] })
  expect(counts).toEqual({ passed: 0, failed: 0, skipped: 0 })
  expect(output).toMatch(/unknown option/i)
  expect(ended).toBe('vitest wrote no report: exit code 1')
})
