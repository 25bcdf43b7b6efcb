// SPDX-License-Identifier: Apache-2.0
import { nativeFile } from '../native/addon.ts'
import type { Locator } from './locator.ts'
import type { GuestStart } from './start.ts'

/** A guest that is a library of the C ABI by itself: from Rust, C, or any language that makes one. */
export function startLibrary({ path }: Locator & { kind: 'library' }): GuestStart {
  const command = [nativeFile('polyloop-guest-process')] as const
  return { library: path, loader: '', command, advice: 'it is part of polyloop: install that again' }
}
