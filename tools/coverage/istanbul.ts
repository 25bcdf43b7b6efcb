// SPDX-License-Identifier: Apache-2.0
// Reads what vitest writes of coverage: istanbul's coverage-final.json, a file for each run, of which several are joined.
import { posix } from 'node:path'
import { byRoom, type Kind, kinds, type Room, type Rooms } from './rooms.ts'

interface Place {
  start: { line: number; column: number | null }
}

/** The part of istanbul's record of a file that is read. */
export interface FileCoverage {
  statementMap: Record<string, Place>
  s: Record<string, number>
  fnMap: Record<string, { loc: Place; decl: Place }>
  f: Record<string, number>
  branchMap: Record<string, { loc: Place; locations: Place[] }>
  b: Record<string, number[]>
}

/** By path. */
export type Report = Readonly<Record<string, FileCoverage>>

/** Of each kind: what there is, by its place in the file, and whether it ran. */
type Ran = Record<Kind, Map<string, boolean>>

const at = ({ start }: Place): string => `${start.line}:${start.column}`

function mark(map: Map<string, boolean>, key: string, times: number | undefined): void {
  map.set(key, (map.get(key) ?? false) || (times ?? 0) > 0)
}

function add(ran: Ran, { statementMap, s, fnMap, f, branchMap, b }: FileCoverage): void {
  for (const [id, place] of Object.entries(statementMap)) mark(ran.lines, String(place.start.line), s[id])
  for (const [id, { decl }] of Object.entries(fnMap)) mark(ran.functions, at(decl), f[id])
  for (const [id, { loc, locations }] of Object.entries(branchMap)) {
    for (const way of locations.keys()) mark(ran.branches, `${at(loc)} ${way}`, b[id]?.[way])
  }
}

function room(ran: Ran): Room {
  const shares = kinds.map((kind) => {
    const all = [...ran[kind].values()]
    return [kind, { ran: all.filter(Boolean).length, all: all.length }] as const
  })
  return Object.fromEntries(shares)
}

/** The room of a source file: its folder. */
const roomOf = (path: string, root: string): string => posix.dirname(posix.relative(root, path))

/** What ran in any of the runs. */
export function joined(reports: readonly Report[], root: string): Rooms {
  const files = new Map<string, Ran>()
  for (const report of reports) {
    for (const [path, file] of Object.entries(report)) {
      const ran = files.get(path) ?? { lines: new Map(), branches: new Map(), functions: new Map() }
      add(ran, file)
      files.set(path, ran)
    }
  }
  return byRoom([...files].map(([path, ran]) => [roomOf(path, root), room(ran)] as const))
}
