// SPDX-License-Identifier: Apache-2.0
import type { Load, Tools } from '../variants/echo.ts'

/** What every variant is to the benchmark of streams: blocks of bytes without end, which its reader leaves. */
export interface Fountain {
  /** Blocks of the size that it was opened for; each is the reader's own. Leaving the loop ends its source. */
  blocks(): AsyncIterable<Uint8Array>
  /** Ends all that the variant started. */
  close(): Promise<void>
}

export type OpenFountain = (tools: Tools, load: Load) => Promise<Fountain>

/** More than anybody reads in one measurement. */
export const WITHOUT_END: number = 2 ** 31 - 1
