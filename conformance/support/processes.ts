// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from 'node:fs'
import { until } from './expect.ts'

/** Whether there is a process of this number that has not ended. */
export function isAlive(pid: number): boolean {
  return !['Z', 'X', undefined].includes(fieldsOf(pid)[0])
}

/** Waits until a process has ended. */
export function ended(pid: number): Promise<void> {
  return until(() => !isAlive(pid))
}

/** The processes that a process has started and that have not ended. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => isAlive(child) && fieldsOf(child)[1] === String(pid))
}

/** The state and the parent of a process, if there is one. */
function fieldsOf(pid: number): string[] {
  try {
    // They follow the name, which may hold anything but ends with the last parenthesis.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}
