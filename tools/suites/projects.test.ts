// SPDX-License-Identifier: Apache-2.0
// Holds the projects of vitest.config.ts to what they are for.
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { exec, root } from '../common/exec.ts'
import { sources } from '../common/files.ts'

interface Listed {
  file: string
  projectName: string
}

/** The test files of each project, as vitest finds them. */
async function listed(): Promise<Map<string, string[]>> {
  const args = ['node_modules/vitest/vitest.mjs', 'list', '--filesOnly', '--json']
  const { stdout, output, ended } = await exec(process.execPath, args)
  if (ended !== undefined) throw new Error(output)
  const found = new Map<string, string[]>()
  for (const { file, projectName } of JSON.parse(stdout) as Listed[])
    found.set(projectName, [...(found.get(projectName) ?? []), relative(root, file)])
  return found
}

const files = await listed()

test('every test file is in one project', () => {
  const tests = sources('.', ['.ts'])
    .filter(({ path }) => path.endsWith('.test.ts'))
    .map(({ path }) => path)
  expect([...files.values()].flat().sort()).toEqual(tests.sort())
  expect([...files.keys()].sort()).toEqual(['host', 'programs', 'units'])
})

test('units start no guests: those that do run one after the other', () => {
  const starts = /from '.*\/support\/(?:child|guests|watched|processes)\.ts'/
  const units = files.get('units') ?? []
  expect(units.length).toBeGreaterThan(0)
  expect(units.filter((path) => starts.test(readFileSync(join(root, path), 'utf8')))).toEqual([])
  // The pattern would find them.
  expect((files.get('host') ?? []).filter((path) => starts.test(readFileSync(join(root, path), 'utf8')))).not.toEqual(
    [],
  )
})
