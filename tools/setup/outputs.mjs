// SPDX-License-Identifier: Apache-2.0
// What tsc makes of the sources of hosts/node.
import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from './shell.mjs'

const src = join(root, 'hosts', 'node', 'src')
const dist = join(root, 'hosts', 'node', 'dist')

const filesOf = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    : []

/** Each source, without its extension. */
const sources = () =>
  filesOf(src)
    .filter((name) => !/\.test(-d)?\.ts$/.test(name))
    .map((name) => name.replace(/\.ts$/, ''))

/** The outputs that are missing. */
export function missing() {
  return sources()
    .flatMap((name) => ['.js', '.js.map', '.d.ts', '.d.ts.map'].map((extension) => join(dist, `${name}${extension}`)))
    .filter((path) => !existsSync(path))
}

/** Outputs that no source makes any more. */
export function orphans() {
  const known = new Set(sources())
  return filesOf(dist)
    .filter((name) => name !== '.tsbuildinfo' && !known.has(name.replace(/(\.d\.ts|\.js)(\.map)?$/, '')))
    .map((name) => join(dist, name))
}
