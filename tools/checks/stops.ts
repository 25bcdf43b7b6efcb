// SPDX-License-Identifier: Apache-2.0
// Holds "The life of a call" in ARCHITECTURE.md to the code: each stop is marked, in the files that the table names.
import type { Source } from '../common/files.ts'

/** A stop of a call, in one file. */
export interface Stop {
  number: number
  name: string
  path: string
}

const HEADING = '## The life of a call'
const STOPS = 9
const MARK = /^\s*(?:\/\/|#)\s*STOP\b\s*(.*)$/gm

/** The stops that the table of ARCHITECTURE.md names: one for each file of each row. */
export function tableStops(architecture: string): Stop[] {
  const start = architecture.indexOf(HEADING)
  if (start < 0) return []
  const section = architecture.slice(start + HEADING.length).split(/^## /m, 1)[0] ?? ''
  const rows = section.matchAll(/^\|\s*(\d+)\s*\|([^|]+)\|([^|]+)\|/gm)
  return [...rows].flatMap(([, number, name = '', files = '']) =>
    [...files.matchAll(/`([^`]+)`/g)].map(([, path = '']) => ({ number: Number(number), name: name.trim(), path })),
  )
}

/** The stops that comments of the form `STOP 3 admit` mark in the code. Number NaN where a mark has another form. */
export function markedStops(files: readonly Source[]): Stop[] {
  return files.flatMap(({ path, text }) =>
    [...text.matchAll(MARK)].map(([, mark = '']) => {
      const [, number, name] = mark.match(/^(\d+) (.+?)\s*$/) ?? []
      return { number: Number(number), name: name ?? mark, path }
    }),
  )
}

const show = ({ number, name, path }: Stop): string => `${path}: STOP ${number} ${name}`

/** What differs between the table and the code; empty where nothing does. */
export function checkStops(architecture: string, files: readonly Source[]): string[] {
  const table = tableStops(architecture).map(show)
  const marked = markedStops(files).map(show)
  const numbers = new Set(tableStops(architecture).map(({ number }) => number))
  const missing = Array.from({ length: STOPS }, (_, i) => i + 1).filter((number) => !numbers.has(number))
  return [
    ...missing.map((number) => `ARCHITECTURE.md: "The life of a call" has no stop ${number} with a file`),
    ...[...numbers]
      .filter((number) => number < 1 || number > STOPS)
      .map((number) => `ARCHITECTURE.md: there is no stop ${number}`),
    ...[...new Set(table)]
      .filter((stop) => !marked.includes(stop))
      .map((stop) => `in the table, not in the code: ${stop}`),
    ...[...new Set(marked)]
      .filter((stop) => !table.includes(stop))
      .map((stop) => `in the code, not in the table: ${stop}`),
  ]
}
