// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { checkStops, markedStops, tableStops } from './stops.ts'

const NAMES = ['call', 'encode', 'admit', 'submission ring', 'doorbell', 'take', 'response', 'drain', 'settle']

const row = (number: number, name: string, ...paths: string[]) =>
  `| ${number} | ${name} | ${paths.map((path) => `\`${path}\``).join(', ')} | what happens |`

const rows = NAMES.map((name, i) => row(i + 1, name, `src/${i + 1}.ts`))

const table = (lines: string[] = rows) =>
  [
    '# Architecture',
    '## The life of a call',
    '',
    '| | stop | files | failure |',
    '|---|---|---|---|',
    ...lines,
    '## Words',
    '| 3 | no | `stop` |',
  ].join('\n')

const files = NAMES.map((name, i) => ({
  path: `src/${i + 1}.ts`,
  text: `before()\n  // STOP ${i + 1} ${name}\nafter()\n`,
}))

test('a table and a code that agree pass', () => {
  expect(tableStops(table())).toHaveLength(9)
  expect(checkStops(table(), files)).toEqual([])
})

test('a stop may be in several files, and twice in one', () => {
  const more = [...rows.slice(0, 5), row(6, 'take', 'src/6.ts', 'loop.py'), ...rows.slice(6)]
  const both = [...files, { path: 'loop.py', text: '# STOP 6 take\nx = 1\n    # STOP 6 take\n' }]
  expect(checkStops(table(more), both)).toEqual([])
})

test('a mark that went missing is found', () => {
  expect(checkStops(table(), files.slice(1))).toEqual(['in the table, not in the code: src/1.ts: STOP 1 call'])
})

test('a mark that moved to another file is found', () => {
  const moved = files.map((file) => (file.path === 'src/3.ts' ? { ...file, path: 'src/bounds.ts' } : file))
  expect(checkStops(table(), moved)).toEqual([
    'in the table, not in the code: src/3.ts: STOP 3 admit',
    'in the code, not in the table: src/bounds.ts: STOP 3 admit',
  ])
})

test.each([
  ['another number', 'STOP 4 admit'],
  ['another name', 'STOP 3 admission'],
  ['an unknown number', 'STOP 10 rest'],
  ['no number', 'STOP admit'],
])('a mark with %s is found', (_, mark) => {
  const problems = checkStops(table(), [...files, { path: 'src/3.ts', text: `// ${mark}` }])
  expect(problems).toHaveLength(1)
  expect(problems[0]).toContain('in the code, not in the table: src/3.ts')
})

test('a row that went missing, or names no file, is found', () => {
  expect(checkStops(table(rows.slice(0, 8)), files)[0]).toContain('has no stop 9')
  expect(checkStops(table([...rows.slice(0, 8), '| 9 | settle | somewhere | |']), files)[0]).toContain('has no stop 9')
})

test('a tenth row is found', () => {
  expect(checkStops(table([...rows, row(10, 'rest', 'src/1.ts')]), files)[0]).toContain('there is no stop 10')
})

test('a document without the table fails', () => {
  expect(checkStops('# Architecture\n', files).length).toBeGreaterThan(9)
  expect(checkStops('', []).length).toBe(9)
})

test('only a comment of its own is a mark', () => {
  const text = "const s = '// STOP 1 call'\nrun() // STOP 1 call\n// We STOP 1 call here\n"
  expect(markedStops([{ path: 'x.ts', text }])).toEqual([])
})
