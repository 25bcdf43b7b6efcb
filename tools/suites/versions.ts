// SPDX-License-Identifier: Apache-2.0
// The host's tests on each version of Node.js that is supported, through npm's `node` package.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec, root } from '../common/exec.ts'
import type { Result, Suite } from '../common/report.ts'
import { vitest } from './vitest.ts'

const MAJORS = [20, 22, 24, 26]

async function versionOf(node: string): Promise<string | undefined> {
  const { stdout, ended } = await exec(node, ['-p', 'process.version'])
  return ended === undefined ? stdout.trim() : undefined
}

/** The program of a Node.js of this major version: the one that runs this, or one from npm, kept in .cache/nodes. */
async function nodeOf(major: number): Promise<string> {
  if (process.version.startsWith(`v${major}.`)) return process.execPath
  const folder = join(root, '.cache', 'nodes', String(major))
  const node = join(folder, 'node_modules', 'node', 'bin', 'node')
  if (!(await versionOf(node))) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
    const install = ['install', `node@${major}`, '--no-save', '--no-package-lock', '--loglevel=error']
    const { output, ended } = await exec('npm', ['--prefix', folder, ...install], { watchdog: 5 * 60_000 })
    if (ended !== undefined) throw new Error(`npm cannot install node@${major}: ${ended}\n${output}`)
  }
  return node
}

async function run(major: number): Promise<Result> {
  const node = await nodeOf(major)
  const version = await versionOf(node)
  if (!version?.startsWith(`v${major}.`)) throw new Error(`${node} says it is ${version}, not v${major}`)
  return { label: `polyloop, ${version}`, ...(await vitest(['hosts/node'], node)) }
}

/** A suite for each version. */
export const versions: readonly Suite[] = MAJORS.map((major) => ({ name: `node-${major}`, run: () => run(major) }))
