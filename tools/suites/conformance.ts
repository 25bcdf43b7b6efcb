// SPDX-License-Identifier: Apache-2.0
// The claims that every language is held to, wherever its guests live.
import type { Result } from '../common/report.ts'
import type { Cells } from './arguments.ts'
import { vitest } from './vitest.ts'

const MATRIX = 'conformance matrix'

/** The matrices in what the runner printed: each from its heading to an empty line. */
export function matrices(output: string): string | undefined {
  const found: string[] = []
  let isInside = false
  for (const line of output.split('\n')) {
    isInside = line.startsWith(MATRIX) || (isInside && line.trim() !== '')
    if (isInside) found.push(line.trimEnd())
  }
  return found.length > 0 ? found.join('\n') : undefined
}

/** What conformance/ reads in its environment. A list that is empty is left to it. */
export function environment({ guests, placements }: Cells): Record<string, string> {
  return {
    ...(guests.length > 0 && { POLYLOOP_CONFORMANCE_GUESTS: guests.join(',') }),
    ...(placements.length > 0 && { POLYLOOP_CONFORMANCE_PLACEMENTS: placements.join(',') }),
  }
}

/** The cells that are chosen; all languages and `placements` if none are. */
export async function conformance(chosen: Cells, placements: readonly string[]): Promise<Result> {
  const env = environment({
    guests: chosen.guests,
    placements: chosen.placements.length > 0 ? chosen.placements : placements,
  })
  const result = await vitest({ projects: ['host'], files: ['conformance'], env })
  const note = matrices(result.output)
  return note === undefined ? result : { ...result, note }
}
