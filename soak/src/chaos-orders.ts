// SPDX-License-Identifier: Apache-2.0
// What a chaos and its hosts say to each other.
import type { LoadOptions } from 'polyloop'

/** What a host is started with. */
export interface HostPlan {
  readonly locator: string
  readonly options: LoadOptions
  readonly seed: number
  readonly outstanding: number
}

/** What happens to a guest, or to its host, by the host's own doing. */
export const kinds = [
  'kill',
  'abort',
  'pause',
  'guard',
  'broker',
  'descriptors',
  'worker',
  'reload',
  'reload-and-kill',
  'churn',
  'print',
] as const
export type Kind = (typeof kinds)[number]

/** What the host is told, and says when that is done. */
export type Order = { readonly do: Kind } | { readonly do: 'pool' | 'end' }
export type Report =
  | { readonly type: 'ready' }
  /** With what has settled so far. */
  | { readonly type: 'done' | 'ended'; readonly settled: number; readonly rejected: Readonly<Record<string, number>> }
  | { readonly type: 'wrong'; readonly what: string }
