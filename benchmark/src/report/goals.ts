// SPDX-License-Identifier: Apache-2.0
import type { Bench, Subject } from '../cell.ts'
import { SIZES, STREAM_SIZES } from '../schedule.ts'
import type { Row } from '../stats.ts'
import { VARIANT_TITLES } from '../variants/names.ts'

/** What the benchmark must show, and what it showed. */
export interface Verdict {
  what: string
  /** `at least` for ratios and rates, `at most` for what should be nothing. */
  bound: 'at least' | 'at most'
  goal: number
  unit: 'x' | ' fires/s' | ' ms/s'
  /** Undefined where it was not measured. */
  measured: number | undefined
}

interface Comparison {
  what: string
  /** What the variant's rows are of, where not of echo. */
  bench?: Bench
  /** The sizes that it is about, where not all. */
  from?: number
  variant: Subject
  rival: Subject
  outstanding: number
  /** Whether against the rival's median or its best single run. */
  against: 'median' | 'max'
  oneProcessor?: boolean
  /** The goal for each of SIZES. */
  goals: readonly number[]
}

const C = { variant: 'polyloop-rust', rival: 'uds-c', against: 'median' } as const
const PYTHON = { variant: 'polyloop-python', against: 'median' } as const

const COMPARISONS: readonly Comparison[] = [
  { ...C, what: 'Rust / C server, sequential', outstanding: 1, goals: [35, 25, 15, 4.5] },
  { ...C, what: 'Rust / its best run, sequential', outstanding: 1, against: 'max', goals: [5, 5, 4, 2] },
  { ...C, what: 'Rust / C server, 64 outstanding', outstanding: 64, goals: [2.2, 6, 8, 4] },
  { ...C, what: 'Rust / C server, one processor, sequential', outstanding: 1, oneProcessor: true, goals: [3, 3, 3, 2] },
  { ...C, what: 'Rust / C server, one processor, 64', outstanding: 64, oneProcessor: true, goals: [2, 4, 4, 2] },
  { ...PYTHON, what: 'Python / node-calls-python, 64', rival: 'node-calls-python', outstanding: 64, goals: same(10) },
  { ...PYTHON, what: 'Python / Python server, 64', rival: 'uds-python', outstanding: 64, goals: [1.3, 2.5, 2.5, 2.5] },
  {
    ...PYTHON,
    what: 'Python / node-calls-python, sequential',
    rival: 'node-calls-python',
    outstanding: 1,
    goals: same(5),
  },
]

const RUST_PROCESS = { variant: 'polyloop-rust-process', rival: 'polyloop-rust', against: 'median' } as const
const PYTHON_PROCESS = { variant: 'polyloop-python-process', rival: 'polyloop-python', against: 'median' } as const

const PROCESSES: readonly Comparison[] = [
  { ...RUST_PROCESS, what: 'Rust, own process / thread, sequential', outstanding: 1, goals: same(0.85) },
  { ...RUST_PROCESS, what: 'Rust, own process / thread, 64', outstanding: 64, goals: same(0.8) },
  { ...PYTHON_PROCESS, what: 'Python, own process / thread, sequential', outstanding: 1, goals: same(0.85) },
  { ...PYTHON_PROCESS, what: 'Python, own process / thread, 64', outstanding: 64, goals: same(0.8) },
]

const IN_PLACE = { bench: 'in-place', from: 10_240 } as const
const PROCESSES_IN_PLACE: readonly Comparison[] = PROCESSES.map((comparison) => {
  return {
    ...comparison,
    ...IN_PLACE,
    what: comparison.what.replace('own process', 'own process, in memory of alloc,'),
  }
})

const TIMER_FIRES_A_SECOND = 900
// "No processor time at all" is less than a thousandth of a processor: a timer of ours that woke up would be more.
const IDLE_MS_A_SECOND = 1

function same(goal: number): number[] {
  return SIZES.map(() => goal)
}

/** Holds rows against the goals; with more than one processor, the goals for one are about pinned rows. */
export function judge(rows: readonly Row[]): Verdict[] {
  return [
    ...[...COMPARISONS, ...PROCESSES, ...PROCESSES_IN_PLACE].flatMap((comparison) => judgeRatios(comparison, rows)),
    ...judgeStreams(rows),
    ...judgeInstances(rows),
    ...judgeLoop(rows),
  ]
}

function judgeRatios(comparison: Comparison, rows: readonly Row[]): Verdict[] {
  return SIZES.flatMap((bytes, index) => {
    if (bytes < (comparison.from ?? 0)) return []
    const matching = (variant: Subject, bench: Bench): Row | undefined =>
      rows.find(
        (row) =>
          row.bench === bench &&
          row.variant === variant &&
          row.bytes === bytes &&
          row.outstanding === comparison.outstanding &&
          (row.cpus === 1) === (comparison.oneProcessor ?? false),
      )
    const ours = matching(comparison.variant, comparison.bench ?? 'echo')
    const theirs = matching(comparison.rival, 'echo')
    const measured = ours && theirs && ours.perSecond.median / theirs.perSecond[comparison.against]
    const goal = comparison.goals[index] ?? Number.NaN
    return { what: `${comparison.what}, ${sizeTitle(bytes)}`, bound: 'at least', goal, unit: 'x', measured }
  })
}

const STREAM_RATIO = 5

function judgeStreams(rows: readonly Row[]): Verdict[] {
  const rate = (variant: Subject, bytes: number): number | undefined =>
    rows.find((row) => row.bench === 'stream' && row.variant === variant && row.bytes === bytes && row.cpus > 1)
      ?.perSecond.median
  return (['grpc-js', 'uds-objects'] as const).flatMap((rival) =>
    STREAM_SIZES.map((bytes) => {
      const [ours, theirs] = [rate('polyloop-rust', bytes), rate(rival, bytes)]
      const what = `Rust / ${VARIANT_TITLES[rival]}, ${sizeTitle(bytes)}`
      return { what, bound: 'at least', goal: STREAM_RATIO, unit: 'x', measured: ours && theirs && ours / theirs }
    }),
  )
}

/** Two instances of a processor-bound function against one. */
function judgeInstances(rows: readonly Row[]): Verdict[] {
  const rate = (instances: number): number | undefined =>
    rows.find((row) => row.bench === 'instances' && row.outstanding === instances)?.perSecond.median
  const [one, two] = [rate(1), rate(2)]
  const what = 'a processor-bound Python function, 2 instances / 1'
  return [{ what, bound: 'at least', goal: INSTANCES_RATIO, unit: 'x', measured: one && two && two / one }]
}

const INSTANCES_RATIO = 1.8

function judgeLoop(rows: readonly Row[]): Verdict[] {
  const value = (bench: Bench, variant: Subject): number | undefined =>
    rows.find((row) => row.bench === bench && row.variant === variant)?.perSecond.median
  const timers = (['polyloop-rust', 'polyloop-python'] as const).map((variant): Verdict => {
    const what = `a 1 ms timer, 1,024 calls outstanding, ${variant}`
    const measured = value('loop-health', variant)
    return { what, bound: 'at least', goal: TIMER_FIRES_A_SECOND, unit: ' fires/s', measured }
  })
  const measured = value('idle', 'polyloop-rust+polyloop-python')
  return [
    ...timers,
    { what: 'processor time when idle', bound: 'at most', goal: IDLE_MS_A_SECOND, unit: ' ms/s', measured },
  ]
}

export function isReached(verdict: Verdict): boolean {
  if (verdict.measured === undefined) return false
  return verdict.bound === 'at least' ? verdict.measured >= verdict.goal : verdict.measured <= verdict.goal
}

/** `reached 41x (goal 35x)`, `MISSED 3.1x (goal 5x)` or `not measured (goal 5x)`. */
export function verdictText(verdict: Verdict): string {
  const goal = `${verdict.bound === 'at most' ? 'at most ' : ''}${short(verdict.goal)}${verdict.unit}`
  if (verdict.measured === undefined) return `not measured (goal ${goal})`
  return `${isReached(verdict) ? 'reached' : 'MISSED'} ${short(verdict.measured, verdict)}${verdict.unit} (goal ${goal})`
}

/** `512 B`, `4 KB`, `100 KB`. */
export function sizeTitle(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KB`
}

// Rounded away from what would be a claim: 4.96 is not written as 5.0 under a goal of 5.
function short(value: number, verdict?: Verdict): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  const scale = 10 ** digits
  const cautious = verdict?.bound === 'at most' ? Math.ceil(value * scale) : Math.floor(value * scale)
  return String((verdict === undefined ? Math.round(value * scale) : cautious) / scale)
}
