// SPDX-License-Identifier: Apache-2.0

/** What an instance is started from. */
export interface GuestStart {
  /** The library that is opened: a guest of the C ABI. */
  readonly library: string
  /** Options of the loader, as JSON. */
  readonly loader: string
  /** The program and its arguments that serve the guest in a process of its own. */
  readonly command: readonly [string, ...string[]]
  /** What to do if that program cannot be run, or is something else. */
  readonly advice: string
}
