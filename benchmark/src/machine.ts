// SPDX-License-Identifier: Apache-2.0
import { availableParallelism, cpus, release, type } from 'node:os'
import type { VariantName } from './variants/names.ts'

/** What a measurement was made on, and what it lacks. */
export interface Machine {
  /** Year-month-day. */
  date: string
  cpu: string
  processors: number
  kernel: string
  node: string
  /** The version of the interpreter that all Python variants ran on; empty where there was none. */
  python: string
  /** Why a variant has no rows, or not all. */
  missing: Partial<Record<VariantName, string>>
  /** Other things that a reader of the figures should know. */
  notes: string[]
}

export function thisMachine(python: string): Machine {
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? 'unknown processor',
    processors: availableParallelism(),
    kernel: `${type()} ${release().replace(/-.*/, '')}`,
    node: process.versions.node,
    python,
    missing: {},
    notes: [],
  }
}

/** One line for people. */
export function describeMachine(machine: Machine): string {
  const python = machine.python === '' ? '' : `, Python ${machine.python}`
  const processors = `${machine.processors} processor${machine.processors === 1 ? '' : 's'}`
  return `${machine.date}, ${machine.cpu} with ${processors}, ${machine.kernel}, Node ${machine.node}${python}`
}
