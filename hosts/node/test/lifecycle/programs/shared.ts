// SPDX-License-Identifier: Apache-2.0
// Workers of node:cluster, and threads of each, that share a guest. The primary has no host of its own.
import cluster from 'node:cluster'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { sleep, tell } from './support.ts'

const [scenario = '', locator = ''] = process.argv.slice(2)
const file = new URL(import.meta.url)

/** One host: who serves it, how often that was initialised, and what came of its calls. */
async function host(): Promise<unknown> {
  const { load } = await import('polyloop')
  const { contract } = await import('./contract.ts')
  const guest = await load(locator, { placement: 'process', shared: true, config: { shared: 'by workers' } })
  const [pid, inits] = [guest.stats().instances[0]?.pid, await guest.call('inits')]
  return { pid, inits, seen: await contract(guest) }
}

/** Threads of this process, each a host; they last until they are told to end, so that all are there at once. */
async function threads(count: number): Promise<unknown[]> {
  const workers = Array.from({ length: count }, () => new Worker(file, { argv: [scenario, locator] }))
  const said = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0] as unknown))
  ends.push(() => workers.map((worker) => worker.postMessage('end')))
  return said
}

const ends: (() => unknown)[] = []

async function workers(count: number): Promise<void> {
  const started = Array.from({ length: count }, () => cluster.fork())
  const said = await Promise.all(started.map(async (worker) => (await once(worker, 'message'))[0] as unknown[]))
  tell(said.flat())
  const codes = started.map(async (worker) => (await once(worker, 'exit'))[0] as number)
  for (const worker of started) worker.send('end')
  if ((await Promise.all(codes)).some((code) => code !== 0)) process.exitCode = 1
}

/** Descriptors of this process, but for modules: Node.js leaves one open if a thread is terminated while it reads it. */
function descriptors(): number {
  return readdirSync('/proc/self/fd').filter((name) => {
    try {
      return !readlinkSync(`/proc/self/fd/${name}`).endsWith('.js')
    } catch {
      return false
    }
  }).length
}

/** More descriptors than a program with one guest has, and fewer than 20 hosts would leave. */
const enough = 80

/** Threads that are terminated at any time of their load, beside one that stays; nothing of theirs may be left. */
async function terminate(): Promise<void> {
  const first = (await host()) as { pid: number }
  for (let round = 0; round < 20; round++) {
    const worker = new Worker(file, { argv: [scenario, locator] })
    await once(worker, 'online')
    await sleep(round * 5)
    await worker.terminate()
  }
  const last = (await threads(1)) as { pid: number }[]
  // What other threads had open is closed after them, by threads of the add-on. Each that was left would have some.
  while (descriptors() >= enough) await sleep(10)
  const open = descriptors()
  tell({ pid: first.pid, same: last[0]?.pid === first.pid, open })
  for (const end of ends) end()
}

if (!isMainThread) {
  parentPort?.postMessage(await host())
  // Until then the port keeps it.
  parentPort?.once('message', () => parentPort?.unref())
} else if (scenario === 'terminate') {
  await terminate()
} else if (scenario === 'threads') {
  const said = await Promise.all([host(), ...(await threads(3))])
  tell(said)
  for (const end of ends) end()
} else if (cluster.isPrimary) {
  await workers(3)
} else {
  process.send?.([await host(), ...(await threads(1))])
  process.once('message', () => {
    for (const end of ends) end()
    process.disconnect()
  })
}
