// SPDX-License-Identifier: Apache-2.0
// The whole contract of a call in a worker: calls, streams both ways, cancellation, in both placements.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { load } from '../../index.ts'
import { tell } from './support.ts'

async function* numbers(count: number): AsyncGenerator<number> {
  for (let number = 0; number < count; number++) yield number
}

async function all(locator: string, placement: 'thread' | 'process'): Promise<unknown> {
  const guest = await load(locator, { placement })
  const items: unknown[] = []
  for await (const item of guest.stream('count', 500)) items.push(item)
  const total = await guest.call('total', numbers(1000))
  const upper: unknown[] = []
  const duplex = guest.duplex('upper')
  await Promise.all([
    (async () => {
      for (const word of ['a', 'b', 'c']) await duplex.write(word)
      await duplex.end()
    })(),
    (async () => {
      for await (const word of duplex) upper.push(word)
    })(),
  ])
  const controller = new AbortController()
  const call = guest.call('sleep_async', 1_000_000, { signal: controller.signal })
  setImmediate(() => controller.abort())
  const code = await call.then(
    () => 'answered',
    (error: { code?: string }) => error.code,
  )
  const large = (await guest.call('swallow', chunks())) as number
  await guest.unload()
  return { items: items.length, last: items.at(-1), total, upper, code, large }
}

async function* chunks(): AsyncGenerator<Buffer> {
  for (let chunk = 0; chunk < 20; chunk++) yield Buffer.alloc(100_000)
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
