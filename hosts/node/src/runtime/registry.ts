// SPDX-License-Identifier: Apache-2.0
import type { Settings } from '../common/options.ts'
import type { RuntimeCore } from './runtime.ts'

/** A runtime that is loaded, or loads. */
export interface Loaded {
  readonly settings: Settings
  readonly core: RuntimeCore
  /** Resolves when it has started. */
  readonly started: Promise<void>
  /** Those who have loaded it, or are about to, and have not unloaded it. */
  leases: number
}

/** Runtimes of this thread by locator and configuration. */
const loaded = new Map<string, Loaded>()

/** Runtimes of this thread, as long as they are loaded. */
export function runtimes(): RuntimeCore[] {
  return [...loaded.values()].map(({ core }) => core)
}

export function find(key: string): Loaded | undefined {
  return loaded.get(key)
}

export function add(key: string, entry: Loaded): void {
  loaded.set(key, entry)
}

/** Forgets a runtime, unless another has taken its key since. */
export function remove(key: string, core: RuntimeCore): void {
  if (loaded.get(key)?.core === core) loaded.delete(key)
}
