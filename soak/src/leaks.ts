// SPDX-License-Identifier: Apache-2.0
// What a program must have none of once its guests are unloaded.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentOf, processes } from './processes.ts'

/** What this process has of the system. */
export interface Held {
  readonly processes: number
  readonly descriptors: number
  readonly memfds: number
  /** Bytes in memory. */
  readonly rss: number
}

/** The processes that this one has started and not waited for. */
function children(): number {
  return processes().filter((pid) => parentOf(pid) === process.pid).length
}

function held(): Held {
  const files = readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      return [readlinkSync(`/proc/self/fd/${name}`)]
    } catch {
      return []
    }
  })
  const mapped = readFileSync('/proc/self/maps', 'utf8').split('\n')
  const memfds = [...files, ...mapped].filter((line) => line.includes('memfd:polyloop')).length
  return { processes: children(), descriptors: files.length, memfds, rss: process.memoryUsage.rss() }
}

/** Waits until garbage is collected and finalized, and nothing is left of what was held beyond `before`; 5 s at most. */
export async function settle(before?: Held): Promise<Held> {
  for (let round = 0; ; round++) {
    globalThis.gc?.()
    await sleep(20)
    const now = held()
    const open = before === undefined || now.descriptors <= before.descriptors
    if ((now.processes === 0 && now.memfds === 0 && open) || round === 250) return now
  }
}

/** As --expose-gc does it, for who cannot be started with that: what is left is looked at when garbage is gone. */
export function exposeGc(): void {
  setFlagsFromString('--expose-gc')
  globalThis.gc = runInNewContext('gc') as NodeJS.GCFunction
}
