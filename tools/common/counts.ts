// SPDX-License-Identifier: Apache-2.0
// Counts of tests: read from what the runners print, added up, and said in one line.

/** How many tests ended how. */
export interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** The sum of counts; zeros for none. */
export function sum(all: readonly Counts[]): Counts {
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const counts of all) {
    total.passed += counts.passed
    total.failed += counts.failed
    total.skipped += counts.skipped
  }
  return total
}

/** The line that closes a run: `N passed, N failed`, and `, N skipped` if there are any. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** Adds up the `test result:` lines of `cargo test`, one for each test binary that ended. */
export function cargoCounts(output: string): Counts {
  const lines = output.matchAll(/^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored;/gm)
  return sum(
    [...lines].map(([, passed, failed, skipped]) => ({
      passed: Number(passed),
      failed: Number(failed),
      skipped: Number(skipped),
    })),
  )
}

interface VitestReport {
  testResults: { status: string; name: string; assertionResults: { status: string }[] }[]
}

/** Counts the tests in the report of vitest's JSON reporter. A file that failed outside its tests counts as one failure. */
export function vitestCounts(json: string): Counts {
  const { testResults } = JSON.parse(json) as VitestReport
  return sum(
    testResults.map(({ status, assertionResults }) => {
      const passed = assertionResults.filter((test) => test.status === 'passed').length
      const failed = assertionResults.filter((test) => test.status === 'failed').length
      const lost = status === 'failed' && failed === 0 ? 1 : 0
      return { passed, failed: failed + lost, skipped: assertionResults.length - passed - failed }
    }),
  )
}

/** A suite's verdict, with what its counts do not say. */
export interface Verdict {
  counts: Counts
  /** Why the suite failed although its tests did not. */
  reason?: string
}

/** Counts a runner that failed without a failed test, or that found nothing to run, as one failure. */
export function judge(counts: Counts, ended: string | undefined): Verdict {
  if (counts.failed > 0) return { counts }
  const failure = { ...counts, failed: 1 }
  if (ended !== undefined) return { counts: failure, reason: `no test failed, but the runner did: ${ended}` }
  if (counts.passed === 0) return { counts: failure, reason: 'no tests found' }
  return { counts }
}
