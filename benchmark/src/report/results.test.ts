// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { someMachine, someRows } from '../testing/rows.ts'
import { readResults, writeResults } from './results.ts'

const folder = mkdtempSync(join(tmpdir(), 'polyloop-results-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('results are read back as they were written', () => {
  const path = join(folder, 'bench.json')
  const results = { rows: someRows(), machine: someMachine }
  writeResults(path, results)
  expect(readResults(path)).toEqual(results)
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(results.rows)
})

it('rows without their machine are refused', () => {
  const path = join(folder, 'alone.json')
  writeResults(path, { rows: [], machine: someMachine })
  rmSync(join(folder, 'alone.machine.json'))
  expect(() => readResults(path)).toThrow('alone.machine.json is missing')
})
