// SPDX-License-Identifier: Apache-2.0

import { describeMachine, type Machine } from '../machine.ts'
import { OUTSTANDING, SIZES, STREAM_SIZES } from '../schedule.ts'
import type { Row } from '../stats.ts'
import {
  IN_PLACE_NAMES,
  isVariantName,
  STREAM_NAMES,
  VARIANT_NAMES,
  VARIANT_TITLES,
  type VariantName,
} from '../variants/names.ts'
import { isReached, judge, sizeTitle, verdictText } from './goals.ts'
import { type Loss, lossesOf } from './losses.ts'
import { significant, sortRows } from './report.ts'
import { summary } from './summary.ts'
import { wrapped } from './wrapped.ts'

/** What may be asked for by a pair of marks: everything, or the one table of the README. */
const WRITERS = { bench: markdown, 'bench:summary': summary } as const

/**
 * Puts the result between the marks of a Markdown text and leaves the rest alone: all of the result between `bench`
 * marks, the one table of the README between `bench:summary` marks.
 * @throws Error if the text has no pair of marks, or not exactly one of a kind
 */
export function intoReadme(readme: string, rows: readonly Row[], machine: Machine): string {
  const kinds = (Object.keys(WRITERS) as (keyof typeof WRITERS)[]).filter((kind) =>
    marksOf(kind).some((mark) => readme.includes(mark)),
  )
  if (kinds.length === 0) throw new Error(`the file needs one ${marksOf('bench').join(' and, after it, one ')}`)
  return kinds.reduce((text, kind) => between(text, marksOf(kind), WRITERS[kind](rows, machine)), readme)
}

function marksOf(kind: keyof typeof WRITERS): [start: string, end: string] {
  return [`<!-- ${kind}:start -->`, `<!-- ${kind}:end -->`]
}

function between(text: string, [start, end]: [start: string, end: string], content: string): string {
  const [before, inside, ...others] = text.split(start)
  const [, after, ...more] = inside?.split(end) ?? []
  if (before === undefined || after === undefined || others.length > 0 || more.length > 0) {
    throw new Error(`the file needs one ${start} and, after it, one ${end}`)
  }
  return `${before}${start}\n${content}\n${end}${after}`
}

/** The result as Markdown: tables, what was lost and what was missed. */
export function markdown(rows: readonly Row[], machine: Machine): string {
  const echo = sortRows(rows.filter((row) => row.bench === 'echo'))
  const processors = [...new Set(echo.map((row) => row.cpus))]
  const runs = Math.min(...echo.map((row) => row.runs))
  const intro = `Measured ${describeMachine(machine)}: medians of ${runs} or more runs, each in a fresh process.`
  const tables = processors.flatMap((cpus) =>
    OUTSTANDING.flatMap((outstanding) =>
      table(echo.filter((row) => row.cpus === cpus && row.outstanding === outstanding)),
    ),
  )
  const parts = [
    wrapped(intro),
    ...tables,
    inPlaceTable(rows),
    streamTable(rows),
    wrapped(loopText(rows)),
    ...lossText(echo),
    ...missedText(rows),
    ...missingText(machine),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

function table(rows: readonly Row[]): string[] {
  const [any] = rows
  if (any === undefined) return []
  const sequential = any.outstanding === 1
  const calls = sequential
    ? 'One call at a time, µs per call'
    : `${any.outstanding.toLocaleString('en')} outstanding, thousand calls a second`
  const title = `${calls}${any.cpus === 1 ? ' (all on one processor)' : ''}`
  const cell = (variant: VariantName, bytes: number): string => {
    const row = rows.find((each) => each.variant === variant && each.bytes === bytes)
    if (row === undefined) return '-'
    const { median, min, max } = row.perSecond
    const [middle, from, to] = sequential ? [1e6 / median, 1e6 / max, 1e6 / min] : [median / 1e3, min / 1e3, max / 1e3]
    return `${significant(middle)} (${significant(from)}-${significant(to)})`
  }
  const lines = VARIANT_NAMES.filter((variant) => rows.some((row) => row.variant === variant)).map(
    (variant) => `| ${VARIANT_TITLES[variant]} | ${SIZES.map((bytes) => cell(variant, bytes)).join(' | ')} |`,
  )
  const head = `| ${title} | ${SIZES.map(sizeTitle).join(' | ')} |\n|---|${SIZES.map(() => '--:|').join('')}`
  return [`${head}\n${lines.join('\n')}`]
}

/** Requests in memory that a guest in a process of its own reads them in, as shares of what a guest on threads reaches. */
function inPlaceTable(rows: readonly Row[]): string {
  const columns = [1, 64].flatMap((outstanding) =>
    SIZES.filter((bytes) => rows.some((row) => row.bench === 'in-place' && row.bytes === bytes)).map((bytes) => {
      return { bytes, outstanding }
    }),
  )
  if (columns.length === 0) return ''
  const rate = (bench: Row['bench'], variant: VariantName, bytes: number, outstanding: number): number | undefined =>
    rows.find(
      (row) =>
        row.bench === bench &&
        row.variant === variant &&
        row.bytes === bytes &&
        row.outstanding === outstanding &&
        row.cpus > 1,
    )?.perSecond.median
  const cell = (bench: Row['bench'], variant: VariantName, bytes: number, outstanding: number): string => {
    const onThreads = variant === 'polyloop-rust-process' ? 'polyloop-rust' : 'polyloop-python'
    const [ours, theirs] = [rate(bench, variant, bytes, outstanding), rate('echo', onThreads, bytes, outstanding)]
    return ours && theirs ? `${significant(ours / 1e3)} (${significant(ours / theirs)} of threads)` : '-'
  }
  const lines = IN_PLACE_NAMES.flatMap((variant) =>
    (['echo', 'in-place'] as const).map((bench) => {
      const how = bench === 'echo' ? 'copied' : 'in memory of `alloc`'
      const cells = columns.map(({ bytes, outstanding }) => cell(bench, variant, bytes, outstanding))
      return `| ${VARIANT_TITLES[variant]}, ${how} | ${cells.join(' | ')} |`
    }),
  )
  const titles = columns.map(({ bytes, outstanding }) => `${sizeTitle(bytes)}, ${outstanding}`)
  const head = `| Requests, thousand calls a second | ${titles.join(' | ')} |\n|---|${columns.map(() => '--:|').join('')}`
  return `${head}\n${lines.join('\n')}`
}

function streamTable(rows: readonly Row[]): string {
  const streams = rows.filter((row) => row.bench === 'stream' && row.cpus > 1)
  if (streams.length === 0) return ''
  const cell = (variant: VariantName, bytes: number): string => {
    const found = streams.find((row) => row.variant === variant && row.bytes === bytes)
    if (found === undefined) return '-'
    const [middle, from, to] = [found.perSecond.median, found.perSecond.min, found.perSecond.max]
    return `${significant(middle / 1e3)} (${significant(from / 1e3)}-${significant(to / 1e3)})`
  }
  const lines = STREAM_NAMES.map(
    (name) => `| ${VARIANT_TITLES[name]} | ${STREAM_SIZES.map((bytes) => cell(name, bytes)).join(' | ')} |`,
  )
  const head = `| A stream, thousand items a second | ${STREAM_SIZES.map(sizeTitle).join(' | ')} |\n|---|--:|--:|`
  return `${head}\n${lines.join('\n')}`
}

function loopText(rows: readonly Row[]): string {
  const fires = rows.flatMap((row) => {
    if (row.bench !== 'loop-health' || !isVariantName(row.variant)) return []
    return `${significant(row.perSecond.median)} times (${VARIANT_TITLES[row.variant]})`
  })
  const idle = rows.find((row) => row.bench === 'idle')
  const [one, two] = [1, 2].map(
    (instances) => rows.find((row) => row.bench === 'instances' && row.outstanding === instances)?.perSecond.median,
  )
  const parts = []
  if (fires.length > 0) parts.push(`With 1,024 calls outstanding a 1 ms timer fires ${fires.join(', ')} a second.`)
  if (idle)
    parts.push(
      `Idle, with both guests loaded, the process uses ${significant(idle.perSecond.median)} ms of processor time a second.`,
    )
  if (one && two)
    parts.push(
      `Two instances of a processor-bound Python function answer ${significant(two / one)} times as many calls as one.`,
    )
  return parts.join(' ')
}

function lossText(echo: readonly Row[]): string[] {
  const losses = lossesOf(echo).map(lossLine)
  if (losses.length === 0) return ['Polyloop is slower than none of these in any median above.']
  return [`Where Polyloop loses:\n\n${losses.join('\n')}`]
}

function lossLine({ ours, other, factor }: Loss): string {
  const where = `${sizeTitle(ours.bytes)}, ${ours.outstanding.toLocaleString('en')} outstanding`
  const what = `${title(other)} is ${significant(factor)} times as fast as ${title(ours)}`
  return wrapped(`- ${where}${ours.cpus === 1 ? ', one processor' : ''}: ${what}`, '  ')
}

function title(row: Row): string {
  return isVariantName(row.variant) ? VARIANT_TITLES[row.variant] : row.variant
}

function missedText(rows: readonly Row[]): string[] {
  const verdicts = judge(rows).filter((verdict) => verdict.measured !== undefined)
  const missed = verdicts.filter((verdict) => !isReached(verdict))
  if (missed.length === 0) return [`All ${verdicts.length} goals that were measured are reached.`]
  const lines = missed.map((verdict) => `- ${verdict.what}: ${verdictText(verdict)}`)
  return [`Of ${verdicts.length} goals measured, ${missed.length} are missed:\n\n${lines.join('\n')}`]
}

function missingText(machine: Machine): string[] {
  const lines = [
    ...Object.entries(machine.missing).map(([name, reason]) => `${name}: not measured: ${reason}`),
    ...machine.notes,
  ]
  return lines.length === 0 ? [] : [lines.map((line) => `- ${line}`).join('\n')]
}
