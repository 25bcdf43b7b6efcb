// SPDX-License-Identifier: Apache-2.0
// The whole contract of a call: calls, streams both ways, cancellation.
import type { Runtime } from 'polyloop'

/** Makes calls of every kind, of the fixtures of streams, and says what came of them. */
export async function contract(guest: Runtime): Promise<unknown> {
  const items: unknown[] = []
  for await (const item of guest.stream('count', [500])) items.push(item)
  const total = await guest.call('total', [numbers(1000)])
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
  const call = guest.call('sleep_async', [1_000_000], { signal: controller.signal })
  setImmediate(() => controller.abort())
  const code = await call.then(
    () => 'answered',
    (error: { code?: string }) => error.code,
  )
  const large = (await guest.call('swallow', [chunks()])) as number
  return { items: items.length, last: items.at(-1), total, upper, code, large }
}

async function* numbers(count: number): AsyncGenerator<number> {
  for (let number = 0; number < count; number++) yield number
}

async function* chunks(): AsyncGenerator<Buffer> {
  for (let chunk = 0; chunk < 20; chunk++) yield Buffer.alloc(100_000)
}
