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

/** What everything that this process starts has in its environment, also what it leaves behind. */
const mark = `POLYLOOP_TEST_HOST=${process.pid}`
process.env.POLYLOOP_TEST_HOST = String(process.pid)

/** The processes that this one has started, or those have, and that have not ended; brokers are nobody's children. */
export function started(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && isAlive(pid) && environmentOf(pid).includes(mark))
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
  } catch {
    return []
  }
}

/** The state of a process and what follows it, if there is one. */
function fieldsOf(pid: number): string[] {
  try {
    // They follow the name, which may hold anything but ends with the last parenthesis.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}
