// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { intoReference, problemsOf, type Table } from './options.ts'

const empty = '# Options\n\n<!-- options:start -->\n<!-- options:end -->\n\nMore.\n'
const table: Table = {
  config: { doc: 'any JSON value', default: '', shownDefault: '' },
  maxCalls: { doc: 'calls in flight', default: 1024 },
  log: { doc: "`'stdout' | 'stderr'`", default: undefined, shownDefault: "the process's streams" },
  whenFull: { doc: 'what happens', default: 'wait' },
  restart: {
    doc: 'what is done after a death',
    default: {},
    only: 'process',
    shownDefault: 'as follows',
    parts: { attempts: { doc: 'deaths in a row', default: 5 } },
  },
  hotReload: { doc: 'reload', default: false },
}

test('a row says the name, the default and the sentence of each option, and of each part after it', () => {
  expect(intoReference(empty, table)).toBe(`# Options

<!-- options:start -->
| option | default | |
|---|---|---|
| \`config\` |  | any JSON value |
| \`maxCalls\` | 1024 | calls in flight |
| \`log\` | the process's streams | \`'stdout' \\| 'stderr'\` |
| \`whenFull\` | \`'wait'\` | what happens |
| \`restart\` † | as follows | what is done after a death |
| \`restart.attempts\` † | 5 | deaths in a row |
| \`hotReload\` | \`false\` | reload |

† for a guest in a process of its own only, that is with \`placement: 'process'\`.
<!-- options:end -->

More.
`)
})

test('writing again changes nothing', () => {
  const once = intoReference(empty, table)
  expect(intoReference(once, table)).toBe(once)
})

describe('the check', () => {
  test('passes a reference that was written from the table', () => {
    expect(problemsOf(intoReference(empty, table), table)).toEqual([])
  })

  test('names the verb that rewrites one that differs', () => {
    const stale = intoReference(empty, { ...table, spin: { doc: 'new', default: true } })
    for (const text of [empty, stale, intoReference(empty, table).replace('1024', '1025')]) {
      expect(problemsOf(text, table)).toEqual([expect.stringContaining('npm run format')])
    }
  })

  test('fails without one pair of marks in their order', () => {
    for (const text of ['', '<!-- options:end --><!-- options:start -->', empty + empty]) {
      expect(problemsOf(text, table)).toEqual([expect.stringContaining('needs one <!-- options:start -->')])
    }
  })

  test('fails if the table has no option', () => {
    expect(problemsOf(intoReference(empty, {}), {})).toEqual([expect.stringContaining('has no option')])
  })
})
