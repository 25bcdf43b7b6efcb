// SPDX-License-Identifier: Apache-2.0
// Running commands, for the scripts that run before anything is installed.
import { spawnSync } from 'node:child_process'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

// rustup adds this folder to the PATH of new shells only; the one that just ran it has to be helped.
process.env.PATH = [process.env.PATH, join(homedir(), '.cargo', 'bin')].join(delimiter)

/** What a command printed, trimmed; undefined if it is not there or failed. */
export function ask(command, ...args) {
  const run = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  return run.status === 0 ? run.stdout.trim() : undefined
}

/** Runs a command before the user's eyes, its output on stderr; throws a `Missing` that names it if it fails. */
export function run(command, ...args) {
  const { status, error, signal } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status === 0) return
  throw new Missing(`'${[command, ...args].join(' ')}' failed: ${error?.message ?? signal ?? `exit ${status}`}`)
}

/** Something that the set-up cannot provide. The message is one line that says what to do. */
export class Missing extends Error {}

/** Whether version `found` ('1.95.0') is at least `wanted` ('1.95'). */
export function atLeast(found, wanted) {
  const [a, b] = [found, wanted].map((version) => version.split('.').map(Number))
  for (const [i, part] of b.entries()) {
    if ((a[i] ?? 0) !== part) return (a[i] ?? 0) > part
  }
  return true
}
