// SPDX-License-Identifier: Apache-2.0
// The reading of what vitest and cargo-llvm-cov write, and the table.
import { expect, test } from 'vitest'
import { type FileCoverage, joined } from './istanbul.ts'
import { readEnvironment, readSummary } from './llvm.ts'
import { byRoom, table } from './rooms.ts'

const place = (line: number, column = 0) => ({ start: { line, column } })

/** A file of two lines with a statement each, a function in the first and two ways in the second. */
const file = (statements: [number, number], called: number, ways: [number, number]): FileCoverage => ({
  statementMap: { 0: place(1), 1: place(2) },
  s: { 0: statements[0], 1: statements[1] },
  fnMap: { 0: { loc: place(1, 20), decl: place(1, 9) } },
  f: { 0: called },
  branchMap: { 0: { loc: place(2), locations: [place(2), place(2, 8)] } },
  b: { 0: ways },
})

test('a room is a folder, and adds up its files', () => {
  const rooms = joined(
    [{ '/r/src/ring/a.ts': file([1, 0], 1, [1, 0]), '/r/src/ring/b.ts': file([3, 2], 0, [0, 0]) }],
    '/r',
  )
  expect([...rooms]).toEqual([
    ['src/ring', { lines: { ran: 3, all: 4 }, branches: { ran: 1, all: 4 }, functions: { ran: 1, all: 2 } }],
  ])
})

test('what ran in one of several runs ran', () => {
  const first = { '/r/src/a.ts': file([1, 0], 0, [1, 0]) }
  const second = { '/r/src/a.ts': file([0, 1], 1, [0, 1]), '/r/src/b.ts': file([0, 0], 0, [0, 0]) }
  expect(joined([first, second], '/r').get('src')).toEqual({
    lines: { ran: 2, all: 4 },
    branches: { ran: 2, all: 4 },
    functions: { ran: 1, all: 2 },
  })
})

test('two statements of a line are one line', () => {
  const line = { ...file([0, 1], 0, [0, 0]), statementMap: { 0: place(1), 1: place(1, 30) } }
  expect(joined([{ '/r/a.ts': line }], '/r').get('.')?.lines).toEqual({ ran: 1, all: 1 })
})

test('crates are told apart by their folders', () => {
  const summary = (covered: number) => ({ lines: { count: 10, covered }, functions: { count: 2, covered: 1 } })
  const files = [
    { filename: `${process.cwd()}/crates/ring/src/a.rs`, summary: summary(5) },
    { filename: `${process.cwd()}/crates/ring/src/b/c.rs`, summary: summary(7) },
    { filename: `${process.cwd()}/hosts/node/addon/src/lib.rs`, summary: summary(1) },
  ]
  expect([...readSummary(JSON.stringify({ data: [{ files }] }))]).toEqual([
    ['crates/ring', { lines: { ran: 12, all: 20 }, functions: { ran: 2, all: 4 } }],
    ['hosts/node/addon', { lines: { ran: 1, all: 10 }, functions: { ran: 1, all: 2 } }],
  ])
})

test('an environment is read with and without quotes', () => {
  expect(readEnvironment("A='b c=d'\nE=1\n")).toEqual({ A: 'b c=d', E: '1' })
})

test('a table has what was measured side by side, and the sum of all rooms', () => {
  const rooms = (ran: number) =>
    byRoom([
      ['b', { lines: { ran, all: 8 } }],
      ['a', { lines: { ran: 1, all: 1 } }],
    ])
  expect(table('Rust, %', { before: rooms(2), after: new Map([...rooms(8), ['c', {}]]) })).toBe(
    [
      '          before   after',
      'Rust, %   lines   lines',
      'a         100.0   100.0',
      'b          25.0   100.0',
      'c             -       -',
      'in all     33.3   100.0',
    ].join('\n'),
  )
})

test('a table of nothing is a failure', () => {
  expect(() => table('Rust, %', { before: new Map() })).toThrow('Rust, %: nothing was measured')
})
