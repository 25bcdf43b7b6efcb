// SPDX-License-Identifier: Apache-2.0
// Runs suites one after the other: a line for each with its counts and its time, and all that a failing one printed.
import { type Counts, closingLine, judge, sum } from './counts.ts'

/** What a suite found. */
export interface Result {
  counts: Counts
  /** All that the runner printed. */
  output: string
  /** How the runner failed; undefined where it ended well. */
  ended: string | undefined
  /** What stands in the line in place of the suite's name. */
  label?: string
  /** A line below the suite's, whether it failed or not: something that was not tested, and why. */
  note?: string
}

/** A runner of tests. */
export interface Suite {
  name: string
  run: () => Promise<Result>
}

const rejected = (error: unknown): Result => ({
  counts: { passed: 0, failed: 0, skipped: 0 },
  output: error instanceof Error ? (error.stack ?? error.message) : String(error),
  ended: 'the suite could not be run',
})

async function runSuite({ name, run }: Suite, print: (line: string) => void): Promise<Counts> {
  const start = performance.now()
  const { counts: found, output, ended, label = name, note } = await run().catch(rejected)
  const { counts, reason } = judge(found, ended)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const verdict = counts.failed > 0 ? 'FAIL' : 'ok'
  print(`${verdict.padEnd(4)} ${label.padEnd(20)} ${closingLine(counts).padEnd(34)} ${seconds.padStart(7)} s`)
  if (note !== undefined) print(`     ${note}`)
  if (counts.failed > 0) print(`\n${[output.trimEnd(), reason && `${name}: ${reason}`].filter(Boolean).join('\n\n')}\n`)
  return counts
}

/** Runs the suites, or those of them that are named, and prints the count; true where there are tests and none failed. */
export async function runSuites(
  suites: readonly Suite[],
  names: readonly string[] = [],
  print: (line: string) => void = console.log,
): Promise<boolean> {
  const unknown = names.filter((name) => !suites.some((suite) => suite.name === name))
  if (unknown.length > 0)
    print(`no suite is named ${unknown.join(', ')}; there are ${suites.map(({ name }) => name).join(', ')}`)
  const counts: Counts[] = unknown.map(() => ({ passed: 0, failed: 1, skipped: 0 }))
  for (const suite of suites) {
    if (names.length === 0 || names.includes(suite.name)) counts.push(await runSuite(suite, print))
  }
  const total = sum(counts)
  print(closingLine(total))
  return total.failed === 0 && total.passed > 0
}
