// SPDX-License-Identifier: Apache-2.0
import cluster from 'node:cluster'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
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
  const pid = isOfCluster() ? process.ppid : process.pid
  const stat = read(`/proc/${pid}/stat`)
  // The name may hold anything, but ends with the last parenthesis.
  return [pid, stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]]
}

/** Whether this process is a worker of a cluster. */
function isOfCluster(): boolean {
  if (isMainThread) return cluster.isWorker
  // Its threads are not told that they are, but for what the process was started with. A process that has given up
  // rights may not read that: its threads are then together, and not with those of other workers.
  return /(^|\0)NODE_UNIQUE_ID=/.test(read('/proc/self/environ') ?? '')
}

/** What the kernel tells, if this user may know. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
