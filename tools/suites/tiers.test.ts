// SPDX-License-Identifier: Apache-2.0
// What the verbs run, by the table and by the verbs themselves.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exec, root } from '../common/exec.ts'
import { sources } from '../common/files.ts'
import { MAJORS } from '../versions/nodes.ts'
import { type Tier, tiers } from './arguments.ts'
import { ANYWHERE, ATTACKS, EXAMPLES, SLICE } from './host.ts'
import { suitesOf } from './tiers.ts'

const names = (tier: Tier, ...suites: string[]): string[] =>
  suitesOf({ tier, suites, guests: [], placements: [] }).map(({ name }) => name)

test.each(tiers)('no two suites of %s have one name', (tier) => {
  expect(new Set(names(tier)).size).toBe(names(tier).length)
})

test('at every save: formats, types, layers, stops, units and rings', () => {
  const wanted = ['biome', 'rustfmt', 'types', 'layers', 'stops', 'units', 'rings']
  expect(names('quick')).toEqual(expect.arrayContaining(wanted))
  expect(names('quick')).not.toContain('host')
})

test('at every commit: all checks, and each language', () => {
  const wanted = ['clippy', 'units', 'rust', 'loom', 'host', 'conformance', 'examples', 'package']
  expect(names('test')).toEqual(expect.arrayContaining(wanted))
  for (const late of ['sanitizers', 'programs', 'attacks', 'coverage']) expect(names('test')).not.toContain(late)
})

test('at night: all that the others run, on each Node.js', () => {
  const nodes = MAJORS.map((major) => `node-${major}`)
  expect(names('full')).toEqual(expect.arrayContaining([...nodes, 'sanitizers', 'programs', 'attacks', 'coverage']))
  // These are parts of others that run at night.
  const parts = ['rings', 'host', 'examples']
  const missing = [...names('quick'), ...names('test')].filter((name) => !names('full').includes(name))
  expect(missing.filter((name) => !parts.includes(name))).toEqual([])
})

test('a suite that is named is there in every tier', () => {
  for (const tier of tiers) expect(names(tier, 'sanitizers')).toEqual(expect.arrayContaining(['sanitizers', 'rings']))
})

test('checks alone run aside', () => {
  const aside = suitesOf({ tier: 'test', suites: [], guests: [], placements: [] }).filter(({ aside }) => aside)
  expect(aside.map(({ name }) => name)).toEqual(expect.arrayContaining(['biome', 'clippy']))
  expect(aside.map(({ name }) => name)).not.toEqual(expect.arrayContaining(['host']))
})

test('each file that is named is there', () => {
  const files = sources('.', ['.ts'])
  for (const name of [...SLICE, ...ATTACKS, ...ANYWHERE, ...EXAMPLES])
    expect(files.filter(({ path }) => path.endsWith(name)).length, name).toBeGreaterThan(0)
})

test('public runners test every Node.js, by the verbs', () => {
  const workflow = readFileSync(join(root, '.github', 'workflows', 'ci.yml'), 'utf8')
  expect(workflow).toContain(`node: [${MAJORS.join(', ')}]\n`)
  expect([...workflow.matchAll(/- run: (npm.*)/g)].map(([, verb]) => verb)).toEqual(['npm test', 'npm run test:full'])
})

const suites = (...args: string[]) => exec(process.execPath, ['tools/dist/suites/test.js', ...args])

test('an unknown suite fails, and the others are named', async () => {
  const { stdout, ended } = await suites('test', 'rusty')
  expect(ended).toBe('exit code 1')
  expect(stdout).toMatch(/^no suite is named rusty; there are .*\brust, loom, sanitizers, host\b/)
  expect(stdout.trim().split('\n').at(-1)).toBe('0 passed, 1 failed')
})

test('a mistake in the options fails, and the closing line is a count', async () => {
  const { stdout, ended } = await suites('test', 'conformance', '--guest', 'cobol')
  expect(ended).toBe('exit code 1')
  expect(stdout).toMatch(/^--guest: there is no cobol; there are .*rust.*\n0 passed, 1 failed\n$/)
})

test('a suite that is named runs alone', async () => {
  const { stdout, ended } = await suites('quick', 'stops', 'spdx')
  expect(ended).toBeUndefined()
  expect(stdout).toMatch(/^ok +stops .*\nok +spdx .*\n2 passed, 0 failed\n$/)
})
