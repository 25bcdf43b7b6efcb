// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { typeTestCounts } from './typetests.ts'

const files = [
  {
    path: 'p/a.test-d.ts',
    text: "import x\ntest('one', () => {\n  a()\n  b()\n})\n\ntest('two', () => {\n  c()\n})\n",
  },
]

test('type tests without errors pass', () => {
  expect(typeTestCounts(files, '')).toEqual({ passed: 2, failed: 0, skipped: 0 })
})

test('a type test with errors in its lines fails, once', () => {
  const output = 'p/a.test-d.ts(3,3): error TS2344: x\n  more\np/a.test-d.ts(4,3): error TS2344: y\n'
  expect(typeTestCounts(files, output)).toEqual({ passed: 1, failed: 1, skipped: 0 })
})

test("another file's errors fail no test here", () => {
  expect(typeTestCounts(files, 'p/b.ts(3,3): error TS2344: x\n')).toEqual({ passed: 2, failed: 0, skipped: 0 })
})
