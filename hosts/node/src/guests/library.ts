// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { PolyloopError } from '../common/errors.ts'
import { nativeFile } from '../native/addon.ts'
import { isIdentifier, type Locator } from './locator.ts'
import type { GuestStart } from './start.ts'

/** A guest that is a library of the C ABI by itself: from Rust, C, or any language that makes one. */
export function startLibrary({ path }: Locator & { kind: 'library' }): GuestStart {
  const name = basename(path)
  if (name.split('.').every(isIdentifier) && !name.endsWith('.so') && !existsSync(path)) {
    const advice = `build it first, or correct the path; a Python module is 'python:${name}'`
    throw new PolyloopError('not-found', `there is no library at ${path}: ${advice}`)
  }
  const command = [nativeFile('polyloop-guest-process')] as const
  return { library: path, loader: '', command, advice: 'it is part of polyloop: install that again' }
}
