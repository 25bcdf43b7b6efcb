// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root, without a slash at its end. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)))

/** This file runs as it is and as it was built, which are at different depths. */
function findRoot(folder: string): string {
  return existsSync(join(folder, 'Cargo.lock')) ? folder : findRoot(dirname(folder))
}

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
  return `python:${inRoot(`conformance/fixtures/python/${name}.py`)}`
}
