// SPDX-License-Identifier: Apache-2.0
// The versions of Node.js that are supported, through npm's `node` package.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec, root } from '../common/exec.ts'

/** The major versions, the oldest first. */
export const MAJORS = [20, 22, 24, 26] as const
export type Major = (typeof MAJORS)[number]

/** Whether this version is the one that runs this. */
export const isAtHand = (major: Major): boolean => process.version.startsWith(`v${major}.`)

async function versionOf(node: string): Promise<string | undefined> {
  const { stdout, ended } = await exec(node, ['-p', 'process.version'])
  return ended === undefined ? stdout.trim() : undefined
}

/** The program of a Node.js of this major version: the one that runs this, or one from npm, kept in .cache/nodes. */
async function programOf(major: Major): Promise<string> {
  if (isAtHand(major)) return process.execPath
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

/** A Node.js of this major version: its program, and what it says that it is. */
export async function nodeOf(major: Major): Promise<{ node: string; version: string }> {
  const node = await programOf(major)
  const version = await versionOf(node)
  if (!version?.startsWith(`v${major}.`)) throw new Error(`${node} says it is ${version}, not v${major}`)
  return { node, version }
}
