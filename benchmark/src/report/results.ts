// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Machine } from '../machine.ts'
import type { Row } from '../stats.ts'

export interface Results {
  rows: Row[]
  machine: Machine
}

/** Writes the rows alone to `path`, and what they were measured on beside it. */
export function writeResults(path: string, { rows, machine }: Results): void {
  writeFileSync(path, `[\n${rows.map((row) => `  ${JSON.stringify(row)}`).join(',\n')}\n]\n`)
  writeFileSync(machinePath(path), `${JSON.stringify(machine, null, 2)}\n`)
}

export function readResults(path: string): Results {
  const rows = JSON.parse(readFileSync(path, 'utf8')) as Row[]
  const beside = machinePath(path)
  if (!existsSync(beside)) throw new Error(`${beside} is missing: it says what machine ${path} was measured on`)
  return { rows, machine: JSON.parse(readFileSync(beside, 'utf8')) as Machine }
}

function machinePath(path: string): string {
  return `${path.replace(/\.json$/, '')}.machine.json`
}
