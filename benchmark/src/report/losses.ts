// SPDX-License-Identifier: Apache-2.0

import type { Row } from '../stats.ts'
import { sameConditions } from './report.ts'

/** A median of Polyloop's that another variant has exceeded under the same conditions. */
export interface Loss {
  readonly ours: Row
  readonly other: Row
  /** How many times as fast the other is. */
  readonly factor: number
}

/** Every loss, in the order of the rows. */
export function lossesOf(echo: readonly Row[]): Loss[] {
  const isOurs = (row: Row): boolean => row.variant.startsWith('polyloop-')
  return echo.filter(isOurs).flatMap((ours) =>
    echo
      .filter((other) => !isOurs(other) && sameConditions(other, ours))
      .map((other) => ({ ours, other, factor: other.perSecond.median / ours.perSecond.median }))
      .filter(({ factor }) => factor > 1),
  )
}
