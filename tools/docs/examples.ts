// SPDX-License-Identifier: Apache-2.0
// What the blocks of a document are: programs, and the guests that they call. docs/README.md has the rules.
import type { Block, Document } from './markdown.ts'

/** A program in TypeScript: a block, and those that continue it. */
export interface Program {
  readonly document: string
  /** The line of its first block. */
  readonly line: number
  /** Each line of it stands in the line that it has in the document. */
  readonly text: string
  /** What it prints, if the document says so. */
  readonly output: string | undefined
}

/** A Python module, or the library of a Rust module, by the name that programs load it by. */
export interface Guest {
  readonly document: string
  readonly line: number
  readonly name: string
  readonly text: string
}

export interface Library extends Guest {
  /** Which of its document's, from 0. */
  readonly index: number
  /** The manifest that stands above it, without its package. */
  readonly manifest: string | undefined
}

export interface Examples {
  /** Their document. */
  readonly document: string
  readonly programs: readonly Program[]
  readonly modules: readonly Guest[]
  readonly libraries: readonly Library[]
  readonly commands: readonly Block[]
  /** Blocks that are none of these. */
  readonly problems: readonly string[]
}

/** The words that may follow a language in an info string. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  ts: ['continues'],
  python: [],
  // rustdoc's own.
  rust: ['standalone_crate'],
  toml: [],
  sh: [],
  text: ['output'],
}

interface Open {
  readonly line: number
  readonly pieces: Block[]
  readonly outputs: string[]
}

/** Sorts the blocks of a document. */
export function examplesOf(document: Document): Examples {
  const programs: Open[] = []
  const modules: Guest[] = []
  const libraries: Library[] = []
  const commands: Block[] = []
  const problems: string[] = []
  let manifest: string | undefined
  for (const block of document.blocks) {
    const problem = wrongInfo(block) ?? wrongPlace(block, programs)
    if (problem !== undefined) {
      problems.push(`${document.path}:${block.line}: ${problem}`)
      continue
    }
    const from = { document: document.path, line: block.line, text: block.text }
    if (block.language === 'ts') {
      if (block.words.includes('continues')) programs.at(-1)?.pieces.push(block)
      else programs.push({ line: block.line, pieces: [block], outputs: [] })
    } else if (block.language === 'python') modules.push({ ...from, name: moduleName(block.text) })
    else if (block.language === 'rust') {
      libraries.push({ ...from, name: libraryName(block.text), manifest, index: libraries.length })
    } else if (block.language === 'toml') manifest = block.text
    else if (block.language === 'sh') commands.push(block)
    else if (block.words.includes('output')) programs.at(-1)?.outputs.push(block.text)
  }
  const all = programs.map((open) => closed(document.path, open))
  return { document: document.path, programs: all, modules, libraries, commands, problems }
}

function wrongInfo({ language, words }: Block): string | undefined {
  const known = WORDS[language]
  if (known === undefined) return `no rule covers a block of '${language}': what is no code is 'text'`
  const unknown = words.find((word) => !known.includes(word))
  return unknown === undefined ? undefined : `a block of ${language} has no '${unknown}'`
}

function wrongPlace({ language, words }: Block, programs: readonly Open[]): string | undefined {
  if (programs.length > 0 || !(words.includes('continues') || words.includes('output'))) return undefined
  return `there is no program above this ${language}`
}

function closed(document: string, { line, pieces, outputs }: Open): Program {
  const lines: string[] = []
  for (const piece of pieces) {
    while (lines.length < piece.line - 1) lines.push('')
    lines.push(...piece.text.split('\n'))
  }
  const output = outputs.length === 0 ? undefined : `${outputs.join('\n')}\n`
  return { document, line, text: `${lines.join('\n')}\n`, output }
}

function moduleName(text: string): string {
  return /^# ([\w./-]+\.py)\b/.exec(text)?.[1] ?? 'guest.py'
}

function libraryName(text: string): string {
  const [, name] = /^\/\/ ([\w-]+)\/src\/lib\.rs\b/.exec(text) ?? []
  return name === undefined ? 'target/release/libguest.so' : `${name}/target/release/lib${name}.so`
}

/** The guests that a program at a line finds: of those with one name the last above it, else the first below. */
export function visible<T extends Guest>(guests: readonly T[], line: number): T[] {
  const found = new Map<string, T>()
  for (const guest of guests) {
    if (guest.line < line || !found.has(guest.name)) found.set(guest.name, guest)
  }
  return [...found.values()]
}

/** The public functions of a Python module: what a program has to call. One in a package is no guest, but imported by one. */
export function functionsOf(module: Guest): string[] {
  if (module.name.includes('/')) return []
  return [...module.text.matchAll(/^(?:async )?def ([a-z]\w*)\(.*\)/gm)]
    .map(([, name = '']) => name)
    .filter((name) => name !== 'init')
}
