// SPDX-License-Identifier: Apache-2.0
import type { Settings } from '../common/options.ts'
import { startLibrary } from './library.ts'
import type { Locator } from './locator.ts'
import { startPython } from './python.ts'
import type { GuestStart } from './start.ts'

/**
 * Finds out what a guest is started from.
 *
 * @throws not-found, init-failed: what is missing on this machine
 */
export async function prepare(locator: Locator, settings: Settings): Promise<GuestStart> {
  return locator.kind === 'python' ? startPython(locator, settings) : startLibrary(locator)
}
