// SPDX-License-Identifier: Apache-2.0
// Type tests: files *.test-d.ts that only the compiler reads. A test fails if the compiler finds an error in its lines.
// (vitest's own type check takes a compiler that stops at its configuration for one that found no error.)
import type { Counts } from '../common/counts.ts'
import type { Source } from '../common/files.ts'

/** A test of a type-test file: the lines from its `test(` to the next one's. */
interface TypeTest {
  path: string
  from: number
  to: number
}

function typeTests({ path, text }: Source): TypeTest[] {
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
  const tests = files.flatMap(typeTests)
  const failed = tests.filter((test) =>
    errors.some(({ path, line }) => path === test.path && line >= test.from && line <= test.to),
  ).length
  return { passed: tests.length - failed, failed, skipped: 0 }
}
