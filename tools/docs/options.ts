// SPDX-License-Identifier: Apache-2.0
// The table in docs/reference/options.md is written from the table of options that the host works with.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from '../common/exec.ts'

/** What the host's table says of an option, as far as the reference needs it. */
interface Entry {
  readonly doc: string
  readonly default: unknown
  readonly shownDefault?: string
  readonly only?: 'process'
  readonly parts?: Table
}

export type Table = Readonly<Record<string, Entry>>

/** The table as it was built: the sources of another package are not for tools to import. */
const TABLE = 'hosts/node/dist/common/options.js'
const REFERENCE = 'docs/reference/options.md'
const START = '<!-- options:start -->'
const END = '<!-- options:end -->'
const NOTE = "† for a guest in a process of its own only, that is with `placement: 'process'`."

/**
 * Puts the table between the marks of a Markdown text and leaves the rest alone.
 *
 * @throws Error if the text has not exactly one pair of marks
 */
export function intoReference(text: string, table: Table): string {
  const [before, inside, ...others] = text.split(START)
  const [, after, ...more] = inside?.split(END) ?? []
  if (before === undefined || after === undefined || others.length > 0 || more.length > 0) {
    throw new Error(`${REFERENCE} needs one ${START} and, after it, one ${END}`)
  }
  return `${before}${START}\n${markdown(table)}\n${END}${after}`
}

function markdown(table: Table): string {
  return ['| option | default | |', '|---|---|---|', ...rows(table), '', NOTE].join('\n')
}

/** A row an option; those of its parts follow it. */
function rows(table: Table, prefix = '', isOfProcess = false): string[] {
  return Object.entries(table).flatMap(([name, entry]) => {
    const [full, only] = [`${prefix}${name}`, isOfProcess || entry.only === 'process']
    const row = [`\`${full}\`${only ? ' †' : ''}`, shown(entry), entry.doc].map(escaped).join(' | ')
    return [`| ${row} |`, ...rows(entry.parts ?? {}, `${full}.`, only)]
  })
}

const escaped = (cell: string): string => cell.replaceAll('|', '\\|')

function shown({ default: value, shownDefault }: Entry): string {
  if (shownDefault !== undefined) return shownDefault
  if (typeof value === 'string') return `\`'${value}'\``
  if (typeof value === 'boolean') return `\`${value}\``
  return typeof value === 'number' ? String(value) : ''
}

/** What is wrong with the text of the reference; empty if it says what the table says. */
export function problemsOf(text: string, table: Table): string[] {
  if (Object.keys(table).length === 0) return [`${TABLE} has no option`]
  try {
    const isWritten = intoReference(text, table) === text
    return isWritten ? [] : [`${REFERENCE} differs from the table of options: npm run format rewrites it`]
  } catch (error) {
    return [(error as Error).message]
  }
}

async function builtTable(): Promise<Table> {
  const { optionTable } = (await import(pathToFileURL(join(root, TABLE)).href)) as { optionTable: Table }
  return optionTable
}

/** What is wrong with the reference as it stands. */
export async function checkOptions(): Promise<string[]> {
  const path = join(root, REFERENCE)
  return existsSync(path) ? problemsOf(readFileSync(path, 'utf8'), await builtTable()) : [`${REFERENCE} does not exist`]
}

/** Writes the table into the reference. */
export async function writeOptions(): Promise<void> {
  const path = join(root, REFERENCE)
  writeFileSync(path, intoReference(readFileSync(path, 'utf8'), await builtTable()))
}
