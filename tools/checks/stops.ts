// SPDX-License-Identifier: Apache-2.0
// Holds the tables of ARCHITECTURE.md that follow something through the code to the code: each stop is marked, in the
// files that its table names.
import type { Source } from '../common/files.ts'

/** A table of stops: its heading, and the word of its marks, as in `STOP 3 admit`. */
export interface Story {
  readonly heading: string
  readonly word: string
}

const STORIES: readonly Story[] = [
  { heading: '## The life of a call', word: 'STOP' },
  { heading: '## A death', word: 'DEATH' },
  { heading: '## A reload', word: 'RELOAD' },
  { heading: "## A stream's item", word: 'ITEM' },
]

/** A stop of a story, in one file. */
export interface Stop {
  word: string
  number: number
  name: string
  path: string
}

/** The stops that a table of ARCHITECTURE.md names: one for each file of each row. */
export function tableStops(architecture: string, { heading, word }: Story): Stop[] {
  const start = architecture.indexOf(`${heading}\n`)
  if (start < 0) return []
  const section = architecture.slice(start + heading.length).split(/^## /m, 1)[0] ?? ''
  const rows = section.matchAll(/^\|\s*(\d+)\s*\|([^|]+)\|([^|]+)\|/gm)
  return [...rows].flatMap(([, number, name = '', files = '']) =>
    [...files.matchAll(/`([^`]+)`/g)].map(([, path = '']) => ({
      word,
      number: Number(number),
      name: name.trim(),
      path,
    })),
  )
}

/** The stops that comments of the form `STOP 3 admit` mark in the code; number NaN if a mark has another form. */
export function markedStops(files: readonly Source[], { word }: Story): Stop[] {
  const mark = new RegExp(`^\\s*(?://|#)\\s*${word}\\b\\s*(.*)$`, 'gm')
  return files.flatMap(({ path, text }) =>
    [...text.matchAll(mark)].map(([, rest = '']) => {
      const [, number, name] = rest.match(/^(\d+) (.+?)\s*$/) ?? []
      return { word, number: Number(number), name: name ?? rest, path }
    }),
  )
}

const show = ({ word, number, name, path }: Stop): string => `${path}: ${word} ${number} ${name}`

/** The numbers that are missing between 1 and the last one; 1 itself if a table has no row. */
function gaps(numbers: readonly number[]): number[] {
  const last = Math.max(1, ...numbers)
  return Array.from({ length: last }, (_, i) => i + 1).filter((number) => !numbers.includes(number))
}

function checkStory(architecture: string, files: readonly Source[], story: Story): string[] {
  const stops = tableStops(architecture, story)
  const table = stops.map(show)
  const marked = markedStops(files, story).map(show)
  const name = story.heading.replace('## ', '')
  return [
    ...gaps(stops.map(({ number }) => number)).map(
      (number) => `ARCHITECTURE.md: "${name}" has no stop ${number} with a file`,
    ),
    ...[...new Set(table)]
      .filter((stop) => !marked.includes(stop))
      .map((stop) => `in the table, not in the code: ${stop}`),
    ...[...new Set(marked)]
      .filter((stop) => !table.includes(stop))
      .map((stop) => `in the code, not in the table: ${stop}`),
  ]
}

/** What differs between the tables and the code; empty if nothing does. */
export function checkStops(
  architecture: string,
  files: readonly Source[],
  stories: readonly Story[] = STORIES,
): string[] {
  return stories.flatMap((story) => checkStory(architecture, files, story))
}

/** The heading of the walk in ARCHITECTURE.md. */
const WALK = '### The walk, file by file'
const MOST_FILES = 30

/**
 * The walk of a call in ARCHITECTURE.md: a numbered list of files, from the handle to the guest and back. Problems: files
 * that do not exist, more than 30, a file twice on the way out or twice on the way back, more than one turn.
 */
export function checkWalk(architecture: string, exists: (path: string) => boolean): string[] {
  const start = architecture.indexOf(`${WALK}\n`)
  if (start < 0) return [`ARCHITECTURE.md has no section "${WALK}"`]
  const section = architecture.slice(start + WALK.length).split(/^##+ /m, 1)[0] ?? ''
  const lines = [...section.matchAll(/^\d+\. (.*)$/gm)].map(([, line = '']) => line)
  const paths = lines.flatMap((line) => line.match(/`([^`]+)`/)?.[1] ?? [])
  const turn = lines.findIndex((line) => line.includes('**turn**'))
  const turns = lines.filter((line) => line.includes('**turn**')).length
  const [out, back] = [paths.slice(0, turn + 1), paths.slice(turn + 1)]
  const twice = [out, back].flatMap((way) => way.filter((path, index) => way.indexOf(path) !== index))
  return [
    ...(paths.length === 0 ? ['ARCHITECTURE.md: the walk of a call names no file'] : []),
    ...(new Set(paths).size > MOST_FILES ? [`ARCHITECTURE.md: the walk of a call has ${paths.length} files`] : []),
    ...(turns === 1 ? [] : [`ARCHITECTURE.md: the walk of a call turns ${turns} times, not once`]),
    ...twice.map((path) => `ARCHITECTURE.md: the walk of a call comes to ${path} twice on one way`),
    ...paths
      .filter((path) => !exists(path))
      .map((path) => `ARCHITECTURE.md: the walk names ${path}, which does not exist`),
  ]
}
