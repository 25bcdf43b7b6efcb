// SPDX-License-Identifier: Apache-2.0
import { inRoot, python, rust } from '../support/paths.ts'

/** The locator of the Rust fixture, as cargo builds it. */
export const rustGuest: string = rust
/** The locator of the Python fixture. */
export const pythonGuest: string = python('basic')
/** The locator of the Python fixture of streams. */
export const streamsGuest: string = python('streams')
/** The locator of the Python fixture that dies. */
export const livesGuest: string = python('lives')
/** The locator of the Python guest of these tests. */
export const ownGuest: string = `python:${inRoot('hosts/node/test/lifecycle/guest.py')}`
/** The add-on, as the package loads it. */
export const addOn: string = inRoot('hosts/node/native/polyloop.node')
