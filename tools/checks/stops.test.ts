// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { checkStops as checkAll, checkWalk, markedStops, type Story, tableStops } from './stops.ts'

const story: Story = { heading: '## The life of a call', word: 'STOP' }
const checkStops = (text: string, code: Parameters<typeof checkAll>[1]): string[] => checkAll(text, code, [story])

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
  expect(tableStops(table(), story)).toHaveLength(9)
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
  expect(checkStops(table(rows.slice(0, 8)), files)).toEqual(['in the code, not in the table: src/9.ts: STOP 9 settle'])
  expect(checkStops(table([...rows.slice(0, 3), ...rows.slice(4)]), files)[0]).toContain('has no stop 4')
  expect(checkStops(table([...rows.slice(0, 8), '| 9 | settle | somewhere | |']), files)).toHaveLength(1)
})

test('a tenth row is found', () => {
  expect(checkStops(table([...rows, row(10, 'rest', 'src/1.ts')]), files)).toEqual([
    'in the table, not in the code: src/1.ts: STOP 10 rest',
  ])
})

test('a document without the table fails', () => {
  expect(checkStops('# Architecture\n', files).length).toBe(10)
  expect(checkStops('', []).length).toBe(1)
})

test('each story has a word of its own', () => {
  const death: Story = { heading: '## A death', word: 'DEATH' }
  const text = '## A death\n| 1 | end | `src/a.ts` | |\n'
  expect(checkAll(text, [{ path: 'src/a.ts', text: '// DEATH 1 end\n// STOP 1 call\n' }], [death])).toEqual([])
  expect(checkAll(text, [{ path: 'src/a.ts', text: '// STOP 1 end\n' }], [death])).toHaveLength(1)
})

const walk = (...lines: string[]): string => ['### The walk, file by file', ...lines, '## Next', '1. `no`'].join('\n')

test('a walk turns once, names files that exist, and comes to none twice on one way', () => {
  const good = walk('1. `a.ts`: x', '2. `b.rs`: y; **turn**', '3. `a.ts`: z')
  expect(checkWalk(good, () => true)).toEqual([])
  expect(checkWalk(good, (path) => path !== 'b.rs')).toEqual([expect.stringContaining('b.rs, which does not exist')])
  expect(checkWalk(walk('1. `a.ts`: x', '2. `a.ts`: **turn**'), () => true)).toEqual([
    expect.stringContaining('comes to a.ts twice'),
  ])
  expect(checkWalk(walk('1. `a.ts`: x'), () => true)).toEqual([expect.stringContaining('turns 0 times')])
  const long = Array.from(
    { length: 31 },
    (_, index) => `${index + 1}. \`${index}.ts\`${index === 9 ? ' **turn**' : ''}`,
  )
  expect(checkWalk(walk(...long), () => true)).toEqual([expect.stringContaining('has 31 files')])
  expect(checkWalk('', () => true)).toHaveLength(1)
})

test('only a comment of its own is a mark', () => {
  const text = "const s = '// STOP 1 call'\nrun() // STOP 1 call\n// We STOP 1 call here\n"
  expect(markedStops([{ path: 'x.ts', text }], story)).toEqual([])
})
