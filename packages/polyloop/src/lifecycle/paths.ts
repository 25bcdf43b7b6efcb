// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url'

// This file is as deep below the root when it is compiled as it is here.
const root = new URL('../../../../', import.meta.url)

/** A file of the repository, from its root. */
export function inRepository(path: string): string {
  return fileURLToPath(new URL(path, root))
}

/** The locator of the Rust fixture, as cargo builds it. */
export const rustGuest: string = `rust:${inRepository('target/release/libpolyloop_fixture.so')}`
/** The locator of the Python fixture. */
export const pythonGuest: string = `python:${inRepository('guests/fixtures/python/basic.py')}`
/** The locator of the Python fixture of streams. */
export const streamsGuest: string = `python:${inRepository('guests/fixtures/python/streams.py')}`
/** The locator of the Python fixture that dies. */
export const livesGuest: string = `python:${inRepository('guests/fixtures/python/lives.py')}`
/** The locator of the Python guest of these tests. */
export const ownGuest: string = `python:${inRepository('packages/polyloop/src/lifecycle/guest.py')}`
/** The add-on, as the package loads it. */
export const addOn: string = inRepository('packages/polyloop/native/polyloop.node')
