// SPDX-License-Identifier: Apache-2.0
import { join, resolve } from 'node:path'

/** Where the build puts the Rust guest: in Cargo's target folder. */
export function rustFixture(root: string): string {
  return resolve(root, process.env.CARGO_TARGET_DIR ?? 'target', 'release', 'libpolyloop_fixture.so')
}

/** The Python guest of streams. */
export function pythonStreams(root: string): string {
  return join(root, 'conformance/fixtures/python/streams.py')
}

/** The Python guest that works hard. */
export function spinner(root: string): string {
  return join(root, 'conformance/fixtures/python/lives.py')
}

/** The Python guest is its source. */
export function pythonFixture(root: string): string {
  return join(root, 'conformance/fixtures/python/basic.py')
}
