// SPDX-License-Identifier: Apache-2.0

import { describeMachine, type Machine } from '../machine.ts'
import type { Row } from '../stats.ts'
import { VARIANT_NAMES } from '../variants/names.ts'
import { judge, sizeTitle, verdictText } from './goals.ts'

/** The rows whose medians the ratios of `row` are taken against: the C server's, under the same conditions. */
function baselineOf(row: Row, rows: readonly Row[]): Row | undefined {
  return rows.find((other) => other.variant === 'uds-c' && sameConditions(other, row))
}

export function sameConditions(a: Row, b: Row): boolean {
  return a.bench === b.bench && a.bytes === b.bytes && a.outstanding === b.outstanding && a.cpus === b.cpus
}

/** By conditions, and in the order of the variants under the same ones. */
export function sortRows(rows: readonly Row[]): Row[] {
  const order = (row: Row): number => (VARIANT_NAMES as readonly string[]).indexOf(row.variant)
  return [...rows].sort(
    (a, b) => b.cpus - a.cpus || a.outstanding - b.outstanding || a.bytes - b.bytes || order(a) - order(b),
  )
}

/** The whole report for a terminal. */
export function report(rows: readonly Row[], machine: Machine): string {
  const missing = Object.entries(machine.missing).map(([name, reason]) => `${name}: not measured: ${reason}`)
  const parts = [describeMachine(machine), echoTable(rows), otherLines(rows), goalLines(rows)]
  return [...parts, [...missing, ...machine.notes].join('\n')].filter((part) => part !== '').join('\n\n')
}

const COLUMNS = ['k calls/s', 'min', 'max', 'µs/call', 'x C server', 'x its best', 'runs', 'loop p99 ms']

function echoTable(rows: readonly Row[]): string {
  const echo = sortRows(rows.filter((row) => row.bench === 'echo'))
  return echo
    .map((row, index) => {
      const before = echo[index - 1]
      const line = tableLine(row.variant, echoCells(row, baselineOf(row, echo)))
      return before !== undefined && sameConditions(before, row) ? line : `${tableHead(row, before)}${line}`
    })
    .join('\n')
}

function tableHead(row: Row, before: Row | undefined): string {
  const title = `${sizeTitle(row.bytes)}, ${row.outstanding.toLocaleString('en')} outstanding, ${processorsTitle(row.cpus)}`
  return `${before === undefined ? '' : '\n'}${tableLine(title, COLUMNS)}\n`
}

function tableLine(name: string, cells: readonly string[]): string {
  return name.padEnd(42) + cells.map((cell) => cell.padStart(12)).join('')
}

function echoCells(row: Row, baseline: Row | undefined): string[] {
  const { median, min, max } = row.perSecond
  const thousands = [median, min, max].map((value) => significant(value / 1000))
  const ratios = baseline
    ? [significant(median / baseline.perSecond.median), significant(median / baseline.perSecond.max)]
    : ['-', '-']
  return [...thousands, significant(1e6 / median), ...ratios, String(row.runs), significant(row.loopDelayP99Ms ?? 0)]
}

function otherLines(rows: readonly Row[]): string {
  const units = {
    'in-place': 'calls a second with requests in memory of alloc',
    stream: 'items a second',
    'loop-health': 'fires a second of a 1 ms timer',
    instances: 'calls a second of a processor-bound function',
    idle: 'ms of processor time a second',
  } as const
  return rows
    .flatMap(({ bench, variant, bytes, outstanding, perSecond, cpus }) => {
      if (bench === 'echo') return []
      const { median, min, max } = perSecond
      const figures = `${significant(median)} (${significant(min)} to ${significant(max)})`
      const what = whatOf(bench, bytes, outstanding)
      return [`${what}, ${variant}, ${processorsTitle(cpus)}: ${figures} ${units[bench]}`]
    })
    .join('\n')
}

function whatOf(bench: Row['bench'], bytes: number, outstanding: number): string {
  if (bench === 'stream') return `${bench} of ${sizeTitle(bytes)}`
  if (bench === 'in-place') return `${bench}, ${sizeTitle(bytes)}, ${outstanding} outstanding`
  return bench === 'instances' ? `${bench}: ${outstanding}` : bench
}

function processorsTitle(cpus: number): string {
  return cpus === 1 ? 'one processor' : `${cpus} processors`
}

function goalLines(rows: readonly Row[]): string {
  return judge(rows)
    .map((verdict) => `${verdict.what.padEnd(58)} ${verdictText(verdict)}`)
    .join('\n')
}

/** Three digits that mean something, and no exponent. */
export function significant(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(value >= 10 ? 3 : 2)))
}
