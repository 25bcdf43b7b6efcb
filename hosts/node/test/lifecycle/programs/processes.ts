// SPDX-License-Identifier: Apache-2.0
// Hosts of guests in processes of their own. The second argument is the guest's locator.
import { readFileSync } from 'node:fs'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { load } from 'polyloop'
import { flood, play, sleep, tell } from './support.ts'

const locator = process.argv[3] ?? ''
const begin = () => load(locator, { placement: 'process' })
type Guest = Awaited<ReturnType<typeof begin>>
const pidOf = (guest: Guest): number => guest.stats().instances[0]?.pid as number

/** Processor time of a process so far, in clock ticks. */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

if (!isMainThread) {
  const guest = await begin()
  for (let call = 0; call < 64; call++) guest.sleep_ms?.(1_000_000_000).catch(() => undefined)
  parentPort?.postMessage(pidOf(guest))
} else {
  await play({
    /** Has calls in flight until something ends it. */
    lasts: async () => {
      const guest = await begin()
      for (let call = 0; call < 64; call++) guest.sleep_ms?.(1_000_000_000).catch(() => undefined)
      tell(pidOf(guest))
    },
    /** Under load until something ends it. */
    loaded: async () => {
      const guest = await begin()
      void flood(Number.POSITIVE_INFINITY, 64, () => guest.send(Buffer.alloc(5000)))
      tell(pidOf(guest))
    },
    ends: async () => tell(pidOf(await begin())),
    exits: async () => {
      const guest = await begin()
      guest.sleep_ms?.(1_000_000_000).catch(() => undefined)
      tell(pidOf(guest))
      process.exit(0)
    },
    /** A worker that is terminated. */
    worker: async () => {
      const worker = new Worker(new URL(import.meta.url), { argv: ['worker', locator] })
      const pid = await new Promise<number>((resolve) => worker.once('message', resolve))
      await worker.terminate()
      tell(pid)
      // Something else keeps the program: the guest goes with its worker.
      await sleep(1_000_000)
    },
    /** Processor time that host and guest use in a second of nothing to do. */
    idle: async () => {
      const guest = await begin()
      await guest.send(Buffer.from('warm'))
      await sleep(200)
      const pid = pidOf(guest)
      const [own, others] = [process.cpuUsage(), ticks(pid)]
      await sleep(1000)
      const { user, system } = process.cpuUsage(own)
      tell({ own: (user + system) / 1000, guest: (ticks(pid) - others) * 10 })
    },
  })
}
