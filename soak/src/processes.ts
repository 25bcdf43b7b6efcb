// SPDX-License-Identifier: Apache-2.0
// The processes of this machine, as /proc tells of them.
import { readdirSync, readFileSync } from 'node:fs'

/** All of them. */
export function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** The process that has started one, or that has it now; undefined if that one has ended. */
export function parentOf(pid: number): number | undefined {
  const stat = read(pid, 'stat')
  // The name may hold anything, but ends with the last parenthesis.
  return stat === '' ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** What a process was started with, and those that it has started, unless they were given something else. */
export function environmentOf(pid: number): string {
  return read(pid, 'environ')
}

/** Empty if there is no such process, or none any more. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}
