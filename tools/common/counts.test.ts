// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { cargoCounts, closingLine, judge, sum, vitestCounts } from './counts.ts'

const counts = (passed: number, failed: number, skipped = 0) => ({ passed, failed, skipped })

describe('cargo', () => {
  test('every test binary is counted, ignored tests as skipped', () => {
    const output = [
      'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s',
      'test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s',
    ].join('\n')
    expect(cargoCounts(output)).toEqual(counts(5, 4, 1))
  })

  test('a build that failed has no tests', () => {
    expect(cargoCounts('error[E0425]: cannot find value `x`')).toEqual(counts(0, 0))
  })

  test("a line that only quotes another run's result is not counted", () => {
    expect(cargoCounts('stdout: test result: ok. 3 passed; 0 failed; 1 ignored;')).toEqual(counts(0, 0))
  })
})

describe('vitest', () => {
  const file = (status: string, ...tests: string[]) => ({
    status,
    name: 'x.test.ts',
    assertionResults: tests.map((state) => ({ status: state })),
  })
  const report = (...testResults: object[]) => JSON.stringify({ testResults })

  test('passed, failed, skipped and to-do tests are told apart', () => {
    const json = report(file('passed', 'passed', 'skipped', 'todo'), file('failed', 'passed', 'failed'))
    expect(vitestCounts(json)).toEqual(counts(2, 1, 2))
  })

  test('a file that could not be loaded is a failure', () => {
    expect(vitestCounts(report(file('failed'), file('passed', 'passed')))).toEqual(counts(1, 1))
  })
})

describe('the verdict', () => {
  test('tests that pass in a runner that passes need no reason', () => {
    expect(judge(counts(2, 0), undefined)).toEqual({ counts: counts(2, 0) })
  })

  test('no tests is a failure', () => {
    expect(judge(counts(0, 0), undefined)).toEqual({ counts: counts(0, 1), reason: 'no tests found' })
    expect(judge(counts(0, 0, 3), undefined).counts).toEqual(counts(0, 1, 3))
  })

  test('a runner that crashes after its tests passed is a failure', () => {
    const { counts: found, reason } = judge(counts(7, 0), 'SIGSEGV')
    expect(found).toEqual(counts(7, 1))
    expect(reason).toContain('SIGSEGV')
  })

  test('a runner that failed because tests did adds no failure', () => {
    expect(judge(counts(7, 2), 'exit code 1')).toEqual({ counts: counts(7, 2) })
  })
})

test('the closing line names what was skipped only if something was', () => {
  expect(closingLine(sum([counts(3, 1), counts(2, 0)]))).toBe('5 passed, 1 failed')
  expect(closingLine(counts(3, 0, 2))).toBe('3 passed, 0 failed, 2 skipped')
})
