// SPDX-License-Identifier: Apache-2.0
import type { VariantName } from './variants/names.ts'

/**
 * - `echo`: calls a second.
 * - `in-place`: the same as `echo`, with requests in memory that the guest reads them in.
 * - `stream`: items a second that the reader of a stream gets.
 * - `loop-health`: how often a 1 ms timer fires a second while calls are outstanding.
 * - `instances`: calls a second of a processor-bound function, with so many instances as `outstanding` says and two calls
 *   for each.
 * - `idle`: milliseconds of processor time a second, after calls, with nothing to do.
 */
export type Bench = 'echo' | 'in-place' | 'stream' | 'loop-health' | 'instances' | 'idle'

/** The idle process has loaded both guests. */
export type Subject = VariantName | 'polyloop-rust+polyloop-python'

/** One measurement in a process of its own. */
export interface Cell {
  bench: Bench
  variant: Subject
  bytes: number
  outstanding: number
  /** The one processor that the process and all it starts run on, or null for all of them. */
  pin: number | null
  warmMs: number
  measureMs: number
}

/** What one process measured; `perSecond` counts what its bench says. */
export interface Sample {
  perSecond: number
  /** How late the loop's own 1 ms timer was, 99th percentile; null where it was not watched. */
  loopDelayP99Ms: number | null
}
