// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { checkCircles, checkRooms, checkSizes, findCircles } from './rooms.ts'

const file = (path: string, ...from: string[]) => ({
  path,
  text: from.map((name) => `import type { x } from '${name}'\n`).join(''),
})

const rooms = ['top', 'middle', 'low']
const complete = rooms.map((room) => file(`hosts/node/src/${room}/a.ts`))

test('a room imports from itself and from those below it', () => {
  const files = [
    ...complete,
    file('hosts/node/src/top/b.ts', './a.ts', '../middle/a.ts', '../low/a.ts', 'node:fs'),
    file('hosts/node/src/index.ts', './top/a.ts', './low/a.ts'),
  ]
  expect(checkRooms(files, rooms)).toEqual([])
})

test('an import that points up is found, even of a type, and even of the top of the package', () => {
  const up = [...complete, file('hosts/node/src/low/b.ts', '../middle/a.ts', '../index.ts')]
  expect(checkRooms(up, rooms)).toEqual([
    'hosts/node/src/low/b.ts must not import hosts/node/src/middle/a.ts: low is below middle',
    'hosts/node/src/low/b.ts must not import hosts/node/src/index.ts: low is below the top',
  ])
})

test('tests import what they like', () => {
  expect(checkRooms([...complete, file('hosts/node/src/low/b.test.ts', '../top/a.ts')], rooms)).toEqual([])
})

test('a folder that the table does not know, and a room without a file, are found', () => {
  expect(checkRooms([...complete, file('hosts/node/src/attic/a.ts')], rooms)).toEqual([
    "hosts/node/src/attic/a.ts: 'attic' is no room of the table (tools/checks/rooms.ts)",
  ])
  expect(checkRooms(complete.slice(1), rooms)[0]).toContain('hosts/node/src/top: a room of the table that has no file')
})

test('circles are found, each once, and what leads to one is none', () => {
  const edges = new Map([
    ['a', ['b']],
    ['b', ['c', 'd']],
    ['c', ['b']],
    ['d', []],
  ])
  expect(findCircles(edges)).toEqual([['b', 'c', 'b']])
  expect(findCircles(new Map([['a', ['a']]]))).toEqual([['a', 'a']])
  expect(checkCircles([file('x/a.ts', './b.ts'), file('x/b.ts', './a.ts')])).toEqual([
    'a circle of imports: x/a.ts -> x/b.ts -> x/a.ts',
  ])
  expect(checkCircles([file('x/a.ts', './b.ts'), file('x/b.ts', './c.ts'), file('x/c.ts')])).toEqual([])
})

test('long files and full folders are found, tests apart', () => {
  const long = { path: 'x/long.ts', text: 'x\n'.repeat(401) }
  const full = Array.from({ length: 17 }, (_, index) => ({ path: `y/${index}.ts`, text: 'x\n'.repeat(400) }))
  expect(checkSizes([long, ...full])).toEqual([
    'x/long.ts has 401 lines, and may have 400',
    'y holds 17 sources, and may hold 16',
  ])
  expect(checkSizes([{ ...long, path: 'x/long.test.ts' }, ...full.slice(1)])).toEqual([])
  expect(checkSizes([])).toHaveLength(1)
})
