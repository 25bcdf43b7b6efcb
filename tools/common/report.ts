// SPDX-License-Identifier: Apache-2.0
// Runs suites: a line for each with its counts and its time, and all that a failing one printed.
import { type Counts, closingLine, judge, sum, type Verdict } from './counts.ts'

/** What a suite found. */
export interface Result {
  counts: Counts
  /** All that the runner printed. */
  output: string
  /** How the runner failed; undefined if it ended well. */
  ended: string | undefined
  /** What stands in the line in place of the suite's name. */
  label?: string
  /** Lines below the suite's, whether it failed or not: a table, or something that was not tested, and why. */
  note?: string
}

/** A runner of tests. */
export interface Suite {
  name: string
  run: () => Promise<Result>
  /** May run while its neighbours do, if they may, too: it needs one processor, and measures nothing. */
  aside?: boolean
}

/** How many suites run side by side, if they may. */
const WIDTH = 2

interface Outcome {
  suite: Suite
  result: Result
  verdict: Verdict
  seconds: number
}

const rejected = (error: unknown): Result => ({
  counts: { passed: 0, failed: 0, skipped: 0 },
  output: error instanceof Error ? (error.stack ?? error.message) : String(error),
  ended: 'the suite could not be run',
})

async function runSuite(suite: Suite): Promise<Outcome> {
  const start = performance.now()
  const result = await suite.run().catch(rejected)
  const seconds = (performance.now() - start) / 1000
  return { suite, result, verdict: judge(result.counts, result.ended), seconds }
}

/** Lines that stand below a suite's, and belong to it. */
const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, '     ')

function say({ suite: { name }, result, verdict, seconds }: Outcome, print: (line: string) => void): Counts {
  const { output, label = name, note } = result
  const { counts, reason } = verdict
  const word = counts.failed > 0 ? 'FAIL' : 'ok'
  const time = seconds.toFixed(1).padStart(7)
  print(`${word.padEnd(4)} ${label.padEnd(20)} ${closingLine(counts).padEnd(34)} ${time} s`)
  if (note !== undefined) print(indented(note))
  if (counts.failed > 0) print(`\n${[output.trimEnd(), reason && `${name}: ${reason}`].filter(Boolean).join('\n\n')}\n`)
  return counts
}

/** The suites in their order, those next to each other that may run side by side together. */
function groups(suites: readonly Suite[]): Suite[][] {
  const found: Suite[][] = []
  for (const suite of suites) {
    const last = found.at(-1)
    if (suite.aside && last?.[0]?.aside) last.push(suite)
    else found.push([suite])
  }
  return found
}

/** Runs some at a time, and answers a promise of each one's outcome. */
function start(suites: readonly Suite[]): Promise<Outcome>[] {
  const waiting: (() => Promise<void>)[] = []
  const outcomes = suites.map(
    (suite) =>
      new Promise<Outcome>((resolve) => {
        waiting.push(async () => resolve(await runSuite(suite)))
      }),
  )
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await next()
  }
  for (let number = 0; number < WIDTH; number++) void lane()
  return outcomes
}

/** Runs the suites, or those of them that are named, and prints the count; true if there are tests and none failed. */
export async function runSuites(
  suites: readonly Suite[],
  names: readonly string[] = [],
  print: (line: string) => void = console.log,
): Promise<boolean> {
  const unknown = names.filter((name) => !suites.some((suite) => suite.name === name))
  if (unknown.length > 0)
    print(`no suite is named ${unknown.join(', ')}; there are ${suites.map(({ name }) => name).join(', ')}`)
  const counts: Counts[] = unknown.map(() => ({ passed: 0, failed: 1, skipped: 0 }))
  const chosen = suites.filter(({ name }) => names.length === 0 || names.includes(name))
  for (const group of groups(chosen)) {
    for (const outcome of start(group)) counts.push(say(await outcome, print))
  }
  const total = sum(counts)
  print(closingLine(total))
  return total.failed === 0 && total.passed > 0
}
