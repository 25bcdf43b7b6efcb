// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { checkLicences } from './licences.ts'

const problems = (licence: string) => checkLicences(`ok v1.0.0|MIT\na v1.0.0|${licence}\na v1.0.0|${licence} (*)\n`)

test.each([
  'MIT',
  'MIT OR GPL-3.0',
  'MIT/Apache-2.0',
  '(MIT OR Apache-2.0) AND Unicode-3.0',
  'Apache-2.0 WITH LLVM-exception',
])('%s is allowed', (licence) => {
  expect(problems(licence)).toEqual([])
})

test.each(['GPL-3.0', 'MIT AND GPL-3.0', 'GPL-3.0 OR AGPL-3.0', ''])('%j is not', (licence) => {
  expect(problems(licence)).toHaveLength(1)
})

test('a crate without a licence, and no crates at all, are found', () => {
  expect(problems('')).toEqual(['a v1.0.0: licence unknown'])
  expect(checkLicences('')).toHaveLength(1)
})
