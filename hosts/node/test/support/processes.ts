// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { until } from './calls.ts'

/** Whether there is a process of this number that has not ended. */
export function isAlive(pid: number): boolean {
  return !['Z', 'X', undefined].includes(fieldsOf(pid)[0])
}

/** Turns of the loop, until a process has ended. */
export function ended(pid: number): Promise<void> {
  return until(() => !isAlive(pid))
}

/** The processes that a process has started and that have not ended. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => isAlive(child) && parentOf(child) === pid)
}

/** The process that has started a process, or that has it now. */
export function parentOf(pid: number): number | undefined {
  return fieldOf(pid, 1)
}

/** The broker of a guest's process, which has started that one's guard. */
export function brokerOf(pid: number): number | undefined {
  return parentOf(parentOf(pid) ?? 0)
}

/** The group of a process. */
export function groupOf(pid: number): number | undefined {
  return fieldOf(pid, 2)
}

/** The session of a process. */
export function sessionOf(pid: number): number | undefined {
  return fieldOf(pid, 3)
}

function fieldOf(pid: number, index: number): number | undefined {
  const field = fieldsOf(pid)[index]
  return field === undefined ? undefined : Number(field)
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

/** What the open descriptors of this process stand for, sorted. */
export function descriptors(): string[] {
  return readdirSync('/proc/self/fd')
    .flatMap((name) => {
      try {
        // Numbers of sockets and pipes say nothing.
        return [readlinkSync(`/proc/self/fd/${name}`).replace(/\d+/g, '')]
      } catch {
        return []
      }
    })
    .sort()
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
