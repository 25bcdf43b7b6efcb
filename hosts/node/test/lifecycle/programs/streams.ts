// SPDX-License-Identifier: Apache-2.0
// The standard streams of programs that a guest on threads starts, and that the host starts beside it.
import { spawnSync } from 'node:child_process'
import { isMainThread, Worker } from 'node:worker_threads'
import { load } from 'polyloop'
import { rustGuest } from '../paths.ts'
import { play } from './support.ts'

/** A program whose exit code tells which of the standard streams it lacks: 1 for stdin, 2 for stdout, 4 for stderr. */
const program = process.argv[3] ?? ''

const loadGuest = (): Promise<{ run(path: string): Promise<number> }> =>
  load<{ run(path: string): number }>(rustGuest, { placement: 'thread' })

/** The program's last word is its exit code: it may have no streams. */
async function leave(): Promise<void> {
  process.exitCode = await (await loadGuest()).run(program)
}

await play({
  leave,
  // Each of them is opened again when it is first used.
  terminal: async () => {
    const guest = await loadGuest()
    console.log([process.stdin, process.stdout, process.stderr].map(({ isTTY }) => isTTY).join(', '))
    process.stdin.pause()
    process.exitCode = await guest.run(program)
  },
  worker: async () => {
    if (isMainThread) new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
    else await leave()
  },
  own: async () => {
    await loadGuest()
    const links = 'for n in 0 1 2; do readlink /proc/$$/fd/$n; done'
    const ignored = spawnSync('sh', ['-c', `(${links}) >&3`], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] })
    const inherited = spawnSync('sh', ['-c', `(${links}) >&3`], { stdio: ['inherit', 'inherit', 'inherit', 'pipe'] })
    console.log(String(ignored.output[3]).trim().split('\n').join(' '))
    console.log(String(inherited.output[3]).trim().split('\n').join(' '))
  },
})
