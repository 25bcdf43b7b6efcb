// SPDX-License-Identifier: Apache-2.0
// The source files of the repository.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative } from 'node:path'
import { root } from './exec.ts'

/** A source file. */
export interface Source {
  /** Relative to the root of the repository, with `/`. */
  path: string
  text: string
}

const GENERATED = new Set(['node_modules', 'target', 'dist', '__pycache__'])
/** Where the package's native parts are copied to; `native` is a room of its sources, too. */
const NATIVE = join(root, 'hosts', 'node', 'native')

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (GENERATED.has(entry.name) || entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    if (path === NATIVE) continue
    if (entry.isDirectory()) yield* walk(path)
    else if (entry.isFile()) yield path
  }
}

/** Reads the files below a folder of the repository, if it is there, that end in one of `extensions` ('.ts'). */
export function sources(folder: string, extensions: readonly string[]): Source[] {
  if (!existsSync(join(root, folder))) return []
  return [...walk(join(root, folder))]
    .filter((path) => extensions.includes(extname(path)))
    .map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}
