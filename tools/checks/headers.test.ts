// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { checkHeaders } from './headers.ts'

const LINE = 'SPDX-License-Identifier: Apache-2.0'

test.each([`// ${LINE}\n`, `# ${LINE}\n`, `#!/usr/bin/env python3\n# ${LINE}\n`, `/* ${LINE} */\n`, `-- ${LINE}`])(
  'a file that opens with %j passes',
  (text) => {
    expect(checkHeaders([{ path: 'a', text }])).toEqual([])
  },
)

test('a file without the line, or with it further down, is found', () => {
  expect(
    checkHeaders([
      { path: 'a', text: '' },
      { path: 'b', text: `code()\n// ${LINE}` },
    ]),
  ).toHaveLength(2)
})

test('no files at all is a failure', () => {
  expect(checkHeaders([])).toHaveLength(1)
})
