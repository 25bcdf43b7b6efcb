// SPDX-License-Identifier: Apache-2.0
// Type tests: files *.test-d.ts that only the compiler reads. A test fails if the compiler finds an error in its lines.
// (vitest's own type check takes a compiler that stops at its configuration for one that found no error.)
import { type Counts, sum } from '../common/counts.ts'
import { type Finished, tool } from '../common/exec.ts'
import { type Source, sources } from '../common/files.ts'
import type { Result } from '../common/report.ts'

/** A test of a type-test file: the lines from its `test(` to the next one's. */
interface TypeTest {
  path: string
  from: number
  to: number
}

function testsOf({ path, text }: Source): TypeTest[] {
  const lines = text.split('\n')
  const starts = lines.flatMap((line, i) => (/^\s*(?:test|it)\(/.test(line) ? [i + 1] : []))
  return starts.map((from, i) => ({ path, from, to: (starts[i + 1] ?? lines.length + 1) - 1 }))
}

/** Counts type tests by what `tsc --pretty false` printed, paths relative to the root. Errors outside tests are not counted. */
export function typeTestCounts(files: readonly Source[], output: string): Counts {
  const errors = [...output.matchAll(/^(.+?)\((\d+),\d+\): error /gm)].map(([, path, line]) => ({
    path,
    line: Number(line),
  }))
  const tests = files.flatMap(testsOf)
  const failed = tests.filter((test) =>
    errors.some(({ path, line }) => path === test.path && line >= test.from && line <= test.to),
  ).length
  return { passed: tests.length - failed, failed, skipped: 0 }
}

const tsc = (project: string): Promise<Finished> =>
  tool('typescript/bin/tsc', ['--pretty', 'false', '-p', `hosts/node/${project}`])

/** The type tests, and some that must fail, which shows that they can. */
export async function typeTests(): Promise<Result> {
  const good = await tsc('tsconfig.types.json')
  const bad = await tsc('type-tests/must-fail/tsconfig.json')
  const files = sources('hosts/node', ['.ts']).filter(({ path }) => path.endsWith('.test-d.ts'))
  const mustFail = ({ path }: Source): boolean => path.includes('/must-fail/')
  const wrong = typeTestCounts(files.filter(mustFail), bad.output)
  const right = typeTestCounts(
    files.filter((file) => !mustFail(file)),
    good.output,
  )
  const inverted = { passed: wrong.failed, failed: wrong.passed, skipped: 0 }
  return {
    counts: sum([right, inverted]),
    output: `${good.output}\nof the tests that must fail:\n${bad.output}`,
    ended: good.ended,
  }
}
