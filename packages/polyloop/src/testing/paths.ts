// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root. */
export const root: string = fileURLToPath(new URL('../../../../', import.meta.url))

/** A file of the repository. */
export function inRoot(path: string): string {
  return resolve(root, path)
}

/** The Rust fixture, where cargo builds it. */
export const rustLibrary: string = resolve(
  root,
  process.env.CARGO_TARGET_DIR ?? 'target',
  'release',
  'libpolyloop_fixture.so',
)

if (!existsSync(rustLibrary)) throw new Error(`${rustLibrary} is missing: npm run build`)

/** The Rust fixture's locator. */
export const rust: string = `rust:${rustLibrary}`

/** The locator of a Python fixture. */
export function python(name: string): string {
  return `python:${inRoot(`guests/fixtures/python/${name}.py`)}`
}
