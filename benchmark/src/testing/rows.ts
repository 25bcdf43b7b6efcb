// SPDX-License-Identifier: Apache-2.0
import type { Machine } from '../machine.ts'
import { OUTSTANDING, SIZES } from '../schedule.ts'
import type { Row } from '../stats.ts'
import { ECHO_NAMES } from '../variants/names.ts'

/** A machine whose name has to be escaped in SVG. */
export const someMachine: Machine = {
  date: '2030-01-02',
  cpu: 'Fast & <cheap>',
  processors: 2,
  kernel: 'Linux 6.1',
  node: '20.0.0',
  python: '3.11.0',
  missing: {},
  notes: [],
}

/** Echo rows of all variants, the first the fastest, and of all conditions on two processors. */
export function someRows(): Row[] {
  return OUTSTANDING.flatMap((outstanding) =>
    SIZES.flatMap((bytes) =>
      ECHO_NAMES.map((variant, index): Row => {
        const median = ((outstanding === 1 ? 600_000 : 2_500_000) * 512) / bytes / 2 ** index
        const perSecond = { median, min: median * 0.8, max: median * 1.3 }
        return { bench: 'echo', variant, bytes, outstanding, cpus: 2, runs: 5, perSecond, loopDelayP99Ms: 0.1 }
      }),
    ),
  )
}
