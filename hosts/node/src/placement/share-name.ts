// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { version } from '../common/layout.ts'
import { type Settings, sharedIdentity } from '../common/options.ts'
import type { GuestStart } from '../guests/start.ts'

/** The name by which those hosts find each other that share a guest: they have said the same. */
export function shareName({ command, library, loader }: GuestStart, settings: Settings, index: number): string {
  const { shared } = settings
  const group = typeof shared === 'string' ? shared : [...primary()]
  const all = [version, process.getuid?.(), group, index, command, library, loader, sharedIdentity(settings)]
  return `polyloop-${createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 40)}`
}

/**
 * The process whose workers share a guest, and when it began, for its number may be another's later: the primary of a
 * cluster, or this one.
 */
function primary(): readonly [pid: number, since: string | undefined] {
  // What this process was started with: threads of a cluster's worker are not told that they are.
  const isOfCluster = /(^|\0)NODE_UNIQUE_ID=/.test(readFileSync('/proc/self/environ', 'latin1'))
  const pid = isOfCluster ? process.ppid : process.pid
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name may hold anything, but ends with the last parenthesis.
  return [pid, stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]]
}
