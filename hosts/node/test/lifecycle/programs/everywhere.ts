// SPDX-License-Identifier: Apache-2.0
// The whole contract of a call in a worker: calls, streams both ways, cancellation, in both placements.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { load } from 'polyloop'
import { contract } from './contract.ts'
import { tell } from './support.ts'

async function all(locator: string, placement: 'thread' | 'process'): Promise<unknown> {
  const guest = await load(locator, { placement })
  const seen = await contract(guest)
  await guest.unload()
  return seen
}

if (isMainThread) {
  const workers = (process.argv.slice(2) as string[]).flatMap((locator) =>
    (['thread', 'process'] as const).map(
      (placement) =>
        new Promise((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), { workerData: { locator, placement } })
          worker.once('message', resolve).once('error', reject)
        }),
    ),
  )
  tell(await Promise.all(workers))
} else {
  const { locator, placement } = workerData as { locator: string; placement: 'thread' | 'process' }
  parentPort?.postMessage(await all(locator, placement))
}
