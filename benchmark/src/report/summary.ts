// SPDX-License-Identifier: Apache-2.0
// What the README says of a result: one table, and where Polyloop loses, in two lines.

import { describeMachine, type Machine } from '../machine.ts'
import type { Row } from '../stats.ts'
import { ECHO_NAMES, isVariantName, VARIANT_TITLES } from '../variants/names.ts'
import { isReached, judge, sizeTitle } from './goals.ts'
import { type Loss, lossesOf } from './losses.ts'
import { significant, sortRows } from './report.ts'
import { wrapped } from './wrapped.ts'

/** The columns: one call at a time, and many. */
const COLUMNS = [
  { outstanding: 1, bytes: 512 },
  { outstanding: 1, bytes: 10_240 },
  { outstanding: 1, bytes: 102_400 },
  { outstanding: 64, bytes: 512 },
  { outstanding: 64, bytes: 10_240 },
  { outstanding: 64, bytes: 102_400 },
] as const

/** The result as Markdown, for a page that says more beside it. */
export function summary(rows: readonly Row[], machine: Machine): string {
  const echo = sortRows(rows.filter((row) => row.bench === 'echo'))
  const intro = `Medians, measured ${describeMachine(machine)}. µs per call, one at a time, and thousand calls a second,`
  const points = [lossLine(echo), goalLine(rows)].map((line) => wrapped(`- ${line}`, '  '))
  const parts = [wrapped(`${intro} 64 outstanding:`), table(echo), points.join('\n')]
  return parts.filter((part) => part !== '').join('\n\n')
}

function table(echo: readonly Row[]): string {
  const most = Math.max(...echo.map((row) => row.cpus))
  const measured = echo.filter((row) => row.cpus === most)
  if (measured.length === 0) return ''
  const lines = ECHO_NAMES.filter((name) => measured.some((row) => row.variant === name)).map((name) => {
    const cells = COLUMNS.map(({ outstanding, bytes }) => {
      const row = measured.find(
        (each) => each.variant === name && each.bytes === bytes && each.outstanding === outstanding,
      )
      if (row === undefined) return '-'
      return significant(outstanding === 1 ? 1e6 / row.perSecond.median : row.perSecond.median / 1e3)
    })
    return `| ${VARIANT_TITLES[name]} | ${cells.join(' | ')} |`
  })
  const titles = COLUMNS.map(({ outstanding, bytes }) => `${sizeTitle(bytes)}, ${outstanding === 1 ? 'µs' : 'k/s'}`)
  return `| | ${titles.join(' | ')} |\n|---|${COLUMNS.map(() => '--:|').join('')}\n${lines.join('\n')}`
}

function lossLine(echo: readonly Row[]): string {
  const rivals = grouped(lossesOf(echo), ({ other }) => other.variant)
  if (rivals.size === 0) return 'Polyloop is slower than none of these in any median that was measured.'
  const texts = [...rivals].map(([rival, losses]) => {
    const under = [...grouped(losses, conditions)].map(([what, some]) => `${what} (${range(some)} times as fast)`)
    return `to ${isVariantName(rival) ? VARIANT_TITLES[rival] : rival}: ${under.join('; ')}`
  })
  return `Polyloop loses ${texts.join('. And ')}.`
}

function grouped<K>(losses: readonly Loss[], by: (loss: Loss) => K): Map<K, Loss[]> {
  const groups = new Map<K, Loss[]>()
  for (const loss of losses) groups.set(by(loss), [...(groups.get(by(loss)) ?? []), loss])
  return groups
}

function conditions({ ours }: Loss): string {
  const where = `${sizeTitle(ours.bytes)}, ${ours.outstanding.toLocaleString('en')} outstanding`
  return `${where}${ours.cpus === 1 ? ', one processor' : ''}`
}

function range(losses: readonly Loss[]): string {
  const factors = losses.map(({ factor }) => factor)
  const [least, most] = [Math.min(...factors).toFixed(2), Math.max(...factors).toFixed(2)]
  return least === most ? least : `${least} to ${most}`
}

function goalLine(rows: readonly Row[]): string {
  const measured = judge(rows).filter((verdict) => verdict.measured !== undefined)
  const missed = measured.filter((verdict) => !isReached(verdict)).length
  return `Of ${measured.length} goals that were measured ${missed === 0 ? 'all are reached' : `${missed} are missed`}.`
}
