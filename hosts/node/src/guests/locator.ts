// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PolyloopError } from '../common/errors.ts'
import { reasonOf } from '../common/reasons.ts'
import { hrefOf } from '../common/urls.ts'

/** What is to be loaded. */
export type Locator =
  | { readonly kind: 'library'; readonly path: string; readonly key: string }
  | { readonly kind: 'python'; readonly file: string; readonly module?: never; readonly key: string }
  | { readonly kind: 'python'; readonly module: string; readonly file?: never; readonly key: string }

const planned = new Set(['java', 'go', 'node'])

/**
 * Reads a locator: `python:module`, `python:./file.py`, `rust:./libx.so`, `./libx.so`, or a file URL
 * in place of a path. Relative paths are relative to the working directory. What ends in `.py` needs
 * no scheme.
 *
 * @throws invalid-argument if it is none
 */
export function parseLocator(locator: string | URL): Locator {
  const url = hrefOf(locator)
  const text = url ?? locator
  if (url !== undefined && !url.startsWith('file:')) {
    throw new PolyloopError('invalid-argument', `${text} is no file: pass a URL such as file:///folder/text.py`)
  }
  if (typeof text !== 'string' || text === '' || text.includes('\0')) {
    throw new PolyloopError('invalid-argument', `a locator is a text such as 'python:./text.py' or 'rust:./libtext.so'`)
  }
  const [, scheme = '', rest = ''] = /^(?:(python|rust|java|go|node|c):)?(.*)$/s.exec(text) ?? []
  if (planned.has(scheme)) {
    throw new PolyloopError(
      'invalid-argument',
      `${scheme}: guests cannot be loaded yet: there are python: and rust:, and C-ABI libraries by path`,
    )
  }
  if (rest === '') throw new PolyloopError('invalid-argument', `the locator ${text} names nothing after '${scheme}:'`)
  return scheme === 'python' || (scheme === '' && isPythonFile(rest)) ? python(rest) : library(rest)
}

/** What a path begins with that may be meant as a kind of guest. */
const someScheme = /^(?!file:)[A-Za-z][\w+-]*:/

/** A URL may have more behind its path. */
function isPythonFile(path: string): boolean {
  if (someScheme.test(path)) return false
  return (path.startsWith('file:') ? path.replace(/[?#].*$/s, '') : path).endsWith('.py')
}

function library(path: string): Locator {
  const full = absolute(path)
  if (path.endsWith('.py')) {
    const scheme = someScheme.exec(path)?.[0] ?? ''
    const what = scheme === '' ? 'names a Python file' : `begins with ${scheme}, which is no kind of guest`
    const file = path.slice(scheme.length)
    throw new PolyloopError('invalid-argument', `the locator '${path}' ${what}: did you mean 'python:${file}'?`)
  }
  const scheme = someScheme.exec(path)?.[0]
  if (scheme !== undefined && !existsSync(full)) {
    const message = `the locator '${path}' begins with ${scheme}, which is no kind of guest: there are python:, rust: and c:`
    throw new PolyloopError('invalid-argument', message)
  }
  return { kind: 'library', path: full, key: full }
}

function python(rest: string): Locator {
  if (/[/\\]|\.py$|^file:/.test(rest)) {
    const file = absolute(rest)
    return { kind: 'python', file, key: `python:${file}` }
  }
  if (!rest.split('.').every(isIdentifier)) {
    throw new PolyloopError('invalid-argument', `'${rest}' is neither a Python module's name nor a path to a .py file`)
  }
  return { kind: 'python', module: rest, key: `python:${rest}` }
}

/**
 * A path from the root, as a path or a file URL tells it.
 *
 * @throws invalid-argument if the URL is no path of this machine, or the working directory is gone
 */
function absolute(path: string): string {
  if (!path.startsWith('file:')) return fromHere(path)
  let full: string
  try {
    full = fileURLToPath(path)
  } catch (cause) {
    const message = `${path} is no path of this machine: ${reasonOf(cause)}; pass a URL such as file:///folder/text.py`
    throw new PolyloopError('invalid-argument', message, { cause })
  }
  if (full.includes('\0')) throw new PolyloopError('invalid-argument', `${path} is no path: it holds a zero byte`)
  return full
}

/**
 * A path from the root.
 *
 * @throws invalid-argument if the working directory, which it starts at, is gone
 */
export function fromHere(path: string): string {
  try {
    return resolve(path)
  } catch (cause) {
    const message = `'${path}' starts at the working directory, which is gone: name the whole path, or call process.chdir()`
    throw new PolyloopError('invalid-argument', message, { cause })
  }
}

/** Whether Python may import something by this name. */
export function isIdentifier(text: string): boolean {
  return /^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(text)
}
