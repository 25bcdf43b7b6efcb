// SPDX-License-Identifier: Apache-2.0
// Counts the system calls of a program, between marks that it makes.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ask, type RunOptions } from './child.ts'

/** System calls by name, of all threads together. */
export type Counts = Readonly<Record<string, number>>

export interface Traced<T> {
  /** What the program told. */
  readonly told: T
  /** One for each pair of marks. */
  readonly windows: readonly Counts[]
  /** The same, of the main thread alone. */
  readonly main: readonly Counts[]
}

/** @throws where there is no strace, naming it */
function requireStrace(): void {
  try {
    execFileSync('strace', ['-V'])
  } catch (cause) {
    throw new Error('strace is missing: this test counts system calls with it. Install the package strace', { cause })
  }
}

/** Runs a program under strace; `before` goes in front of it. */
export async function trace<T>(
  name: string,
  args: readonly string[],
  before: readonly string[] = [],
): Promise<Traced<T>> {
  requireStrace()
  const scratch = mkdtempSync(join(tmpdir(), 'polyloop-trace-'))
  try {
    const file = join(scratch, 'trace')
    const options: RunOptions = { under: [...before, 'strace', '-f', '-qq', '-o', file], node: ['--expose-gc'] }
    const told = await ask<T>(name, args, options)
    return { told, ...read(readFileSync(file, 'latin1')) }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function read(text: string): Omit<Traced<never>, 'told'> {
  const windows: Record<string, number>[] = []
  const main: Record<string, number>[] = []
  let inside = false
  const first = /^\d+/.exec(text)?.[0]
  for (const line of text.split('\n')) {
    const mark = /polyloop-mark-(start|end)/.exec(line)?.[1]
    if (mark !== undefined) inside = mark === 'start'
    if (mark === 'start') {
      windows.push({})
      main.push({})
    }
    const [, thread, call = ''] = /^(\d+)\s+(\w+)\(/.exec(line) ?? []
    if (!inside || mark !== undefined || thread === undefined) continue
    count(windows.at(-1), call)
    if (thread === first) count(main.at(-1), call)
  }
  return { windows, main }
}

function count(counts: Record<string, number> | undefined, call: string): void {
  if (counts !== undefined) counts[call] = (counts[call] ?? 0) + 1
}

/** How many system calls that are. */
export function total(counts: Counts): number {
  return Object.values(counts).reduce((sum, one) => sum + one, 0)
}
