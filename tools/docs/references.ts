// SPDX-License-Identifier: Apache-2.0
// What documents refer to is there: links, anchors, and the files that they name.
import { existsSync, readdirSync } from 'node:fs'
import { join, posix } from 'node:path'
import { anchorsOf, codeSpans, type Document, linksOf } from './markdown.ts'

/** Links to files and anchors that do not exist. `root` is where the documents' paths begin. */
export function checkLinks(documents: readonly Document[], root: string): string[] {
  const anchors = new Map(documents.map((document) => [document.path, anchorsOf(document)]))
  const links = documents.flatMap((document) => linksOf(document).map((link) => ({ document, ...link })))
  if (links.length === 0) return ['no links found']
  return links.flatMap(({ document, target, line }) => {
    if (/^[a-z]+:/.test(target)) return []
    const [path = '', anchor] = target.split('#')
    const file = path === '' ? document.path : posix.join(posix.dirname(document.path), path)
    const from = `${document.path}:${line}`
    if (!existsSync(join(root, file))) return [`${from}: there is no ${file}`]
    if (anchor === undefined || anchors.get(file)?.has(anchor)) return []
    return [`${from}: ${file} has no heading for #${anchor}`]
  })
}

/** Documents below `folder` that no link of another document leads to. */
export function checkOrphans(documents: readonly Document[], folder: string): string[] {
  const linked = new Set(
    documents.flatMap((document) =>
      linksOf(document)
        .map(({ target }) => posix.join(posix.dirname(document.path), target.split('#')[0] ?? ''))
        .filter((path) => path !== document.path),
    ),
  )
  const below = documents.filter(({ path }) => path.startsWith(`${folder}/`))
  if (below.length === 0) return [`there are no documents in ${folder}`]
  return below.filter(({ path }) => !linked.has(path)).map(({ path }) => `${path}: no document links to it`)
}

/** Looks like a path of several parts; not one that begins elsewhere, and nothing with blanks or signs of code. */
const PATH = /^[\w.][\w.-]*(?:\/[\w.*{},-]+)+\/?$/
/** What is built, installed or the reader's own. */
const MADE = /(?:^|\/)(?:node_modules|target|dist|native|\.venv|\.cache)(?:\/|$)/
/** What has a slash and is no path. */
const OTHERS = new Set(['polyloop/msgpack'])

/** Files and folders that documents name between backticks and that are not there. */
export function checkPaths(documents: readonly Document[], root: string): string[] {
  const named = documents.flatMap((document) =>
    codeSpans(document)
      .filter(({ text }) => PATH.test(text) && !/^\.\.?\//.test(text) && !MADE.test(text) && !OTHERS.has(text))
      .map(({ number, text }) => ({ document, number, text })),
  )
  if (named.length === 0) return ['no paths found']
  return named
    .filter(({ document, text }) =>
      braces(text).some((path) => !exists(root, path) && !exists(join(root, posix.dirname(document.path)), path)),
    )
    .map(({ document, number, text }) => `${document.path}:${number}: there is no ${text}`)
}

/** The texts that `a/{b,c}` stands for. */
export function braces(text: string): string[] {
  const [, before, inside, after] = /^(.*?)\{([^{}]*)\}(.*)$/.exec(text) ?? []
  if (before === undefined || inside === undefined || after === undefined) return [text]
  return inside.split(',').flatMap((one) => braces(`${before}${one}${after}`))
}

/** Whether there is such a file; a `*` stands for any part of a name. */
function exists(folder: string, path: string): boolean {
  const [first = '', ...rest] = path.replace(/\/$/, '').split('/')
  if (!existsSync(folder)) return false
  const pattern = new RegExp(`^${first.replaceAll('.', '\\.').replaceAll('*', '.*')}$`)
  const names = first.includes('*') ? readdirSync(folder).filter((name) => pattern.test(name)) : [first]
  const found = names.filter((name) => existsSync(join(folder, name)))
  return rest.length === 0 ? found.length > 0 : found.some((name) => exists(join(folder, name), rest.join('/')))
}

/** Lines of prose that are longer than a hundred characters, though they could be broken. */
export function checkWidths(documents: readonly Document[]): string[] {
  if (documents.length === 0) return ['no documents found']
  return documents.flatMap(({ path, lines }) =>
    lines
      .filter(({ text }) => text.length > 100 && !/^\s*\||^#/.test(text) && /\S\s+\S/.test(text.slice(0, 100).trim()))
      .map(({ number, text }) => `${path}:${number}: ${text.length} characters`),
  )
}
