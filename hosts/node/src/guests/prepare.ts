// SPDX-License-Identifier: Apache-2.0
import type { Settings } from '../common/options.ts'
import { startLibrary } from './library.ts'
import type { Locator } from './locator.ts'
import { startPython } from './python.ts'
import type { GuestStart } from './start.ts'

/**
 * Where guests of a language live if nothing else is said. What has a runtime of its own, with signals, exit handlers and
 * symbols that are those of a whole process, has a process.
 */
export function usualPlacement({ kind }: Locator): Settings['placement'] {
  return kind === 'python' ? 'process' : 'thread'
}

/**
 * Finds out what a guest is started from.
 *
 * @throws not-found, init-failed: what is missing on this machine
 */
export async function prepare(locator: Locator, settings: Settings): Promise<GuestStart> {
  return locator.kind === 'python' ? startPython(locator, settings) : startLibrary(locator)
}
