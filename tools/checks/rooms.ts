// SPDX-License-Identifier: Apache-2.0
// Holds the rooms of hosts/node/src to their order, as layers.ts holds crates: imports point down, type imports too.
// No TypeScript file imports one that imports it, files and folders stay small.
import { posix } from 'node:path'
import type { Source } from '../common/files.ts'
import { imports } from './layers.ts'

const HOST = 'hosts/node/src'

/** The rooms of the Node.js host, from the top down: a room may import from those below it. */
const ROOMS: readonly string[] = [
  'runtime',
  'instances',
  'ring',
  'call',
  'placement',
  'guests',
  'observe',
  'native',
  'common',
  'values',
]

const MOST_LINES = 400
const MOST_FILES = 16

/** Models that loom runs are tests, too. */
const isTest = (path: string): boolean =>
  /(^|\/)(tests?|fixtures|examples|type-tests)\/|\.test(-d)?\.ts$|^crates\/ring\/src\/model\.rs$/.test(path)

/** Relative imports of a file, as paths from the root of the repository. */
function targets({ path, text }: Source): string[] {
  return imports(text)
    .filter((from) => from.startsWith('.'))
    .map((from) => posix.join(posix.dirname(path), from))
}

/** Imports between rooms that point up, and files that are in no room. Tests may import what they like. */
export function checkRooms(files: readonly Source[], rooms: readonly string[] = ROOMS): string[] {
  const own = files.filter(({ path }) => path.startsWith(`${HOST}/`) && !isTest(path.slice(HOST.length)))
  const roomOf = (path: string): string => posix.relative(HOST, path).split('/').slice(0, -1).join('/')
  const empty = rooms.filter((room) => !own.some(({ path }) => roomOf(path) === room))
  return [
    ...empty.map((room) => `${HOST}/${room}: a room of the table that has no file (tools/checks/rooms.ts)`),
    ...own.flatMap((file) => {
      const room = roomOf(file.path)
      // What stands at the top is what the package exports.
      if (room === '') return []
      const level = rooms.indexOf(room)
      if (level < 0) return [`${file.path}: '${room}' is no room of the table (tools/checks/rooms.ts)`]
      return targets(file)
        .filter((target) => rooms.indexOf(roomOf(target)) < level)
        .map((target) => `${file.path} must not import ${target}: ${room} is below ${roomOf(target) || 'the top'}`)
    }),
  ]
}

/** Circles of nodes that lead to each other; each once, from the first of its nodes in the order of the alphabet. */
export function findCircles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = []
  const done = new Set<string>()
  const visit = (node: string, way: readonly string[]): void => {
    const start = way.indexOf(node)
    if (start >= 0) {
      circles.push([...way.slice(start), node])
      return
    }
    if (done.has(node)) return
    for (const next of edges.get(node) ?? []) visit(next, [...way, node])
    done.add(node)
  }
  for (const node of [...edges.keys()].sort()) visit(node, [])
  return circles
}

/** Circles of imports between TypeScript files, type imports included. */
export function checkCircles(files: readonly Source[]): string[] {
  const edges = new Map(files.map((file) => [file.path, targets(file)]))
  return findCircles(edges).map((circle) => `a circle of imports: ${circle.join(' -> ')}`)
}

/** Sources, tests apart, that are too long, and folders that hold too many of them. */
export function checkSizes(files: readonly Source[]): string[] {
  const own = files.filter(({ path }) => !isTest(path))
  if (own.length === 0) return ['no sources found']
  const folders = new Map<string, number>()
  for (const { path } of own) folders.set(posix.dirname(path), (folders.get(posix.dirname(path)) ?? 0) + 1)
  return [
    ...own
      .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
      .filter(({ lines }) => lines > MOST_LINES)
      .map(({ path, lines }) => `${path} has ${lines} lines, and may have ${MOST_LINES}`),
    ...[...folders]
      .filter(([, count]) => count > MOST_FILES)
      .map(([folder, count]) => `${folder} holds ${count} sources, and may hold ${MOST_FILES}`),
  ]
}
