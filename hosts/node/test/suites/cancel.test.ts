// SPDX-License-Identifier: Apache-2.0
// Cancellation, deadlines and context, the same claims for every guest.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Runtime } from '../../src/face.ts'
import { rejection, until } from '../support/calls.ts'
import { Feed, guests, numbers } from '../support/streams.ts'

const minute = 60_000

describe.each(guests)('what a $language guest hears', ({ ms, loadGuest }) => {
  let guest: Runtime
  beforeAll(async () => {
    guest = await loadGuest()
  })
  afterAll(() => guest.unload())

  const dropped = (): Promise<number> => guest.call('dropped') as Promise<number>
  const begun = (): Promise<number> => guest.call('begun') as Promise<number>
  const seen = (): Promise<number> => guest.call('cancels_seen') as Promise<number>

  test('an async function that is cancelled ends where it waits', async () => {
    const [before, running] = [await dropped(), await begun()]
    const controller = new AbortController()
    const call = guest.call('sleep_async', ms(minute), { signal: controller.signal })
    await until(async () => (await begun()) === running + 1)
    controller.abort(new Error('never mind'))
    const error = await rejection(call, 'cancelled')
    expect(error.cause).toEqual(new Error('never mind'))
    await until(async () => (await dropped()) === before + 1)
    await until(() => guest.stats().inFlight === 0)
  })

  test('a sync function that is cancelled can see it', async () => {
    const [before, running] = [await seen(), await begun()]
    const controller = new AbortController()
    const call = guest.call('spin_until_cancelled', ms(minute), { signal: controller.signal })
    await until(async () => (await begun()) === running + 1)
    controller.abort()
    await rejection(call, 'cancelled')
    await until(async () => (await seen()) === before + 1)
  })

  test('a deadline that passes is heard as a cancellation is', async () => {
    const [before, started] = [await dropped(), await begun()]
    let [wait, late] = [100, 0]
    do {
      // One that passes before the function begins is not heard by it: that is another claim.
      wait *= 2
      late = guest.stats().late
      await rejection(guest.call('sleep_async', ms(minute), { deadline: Date.now() + wait }), 'deadline')
      await until(() => guest.stats().late === late + 1)
    } while ((await begun()) === started)
    await until(async () => (await dropped()) === before + 1)
  })

  test('the time that remains is visible in the guest', async () => {
    expect((await guest.call('remaining')) ?? null).toBeNull()
    const remaining = (await guest.call('remaining', undefined, { deadline: Date.now() + minute })) as number
    expect(remaining).toBeGreaterThan(30)
    expect(remaining).toBeLessThanOrEqual(60)
  })

  test('a call that is cancelled while it waits for a thread never begins', async () => {
    const other = await loadGuest({ threads: 1 })
    const before = (await other.call('begun')) as number
    const controllers = [new AbortController(), new AbortController()] as const
    const calls = controllers.map(({ signal }) => other.call('spin_until_cancelled', ms(minute), { signal }))
    // The only thread takes them in order: the second waits behind the first.
    for (const [index, controller] of [...controllers.entries()].reverse()) {
      controller.abort()
      await rejection(calls[index] as Promise<unknown>, 'cancelled')
    }
    await until(() => other.stats().inFlight === 0)
    expect(other.stats().late).toBe(2)
    expect(((await other.call('begun')) as number) - before).toBeLessThanOrEqual(1)
    await other.unload()
  })

  test('cancelling a call ends the stream that feeds it', async () => {
    const feed = new Feed(numbers())
    const controller = new AbortController()
    const call = guest.call('total', feed, { signal: controller.signal })
    await until(() => feed.given > 1000)
    controller.abort()
    await rejection(call, 'cancelled')
    await until(() => feed.closed)
    await until(() => guest.stats().inFlight === 0)
  })

  test('a stream is cancelled by its signal: what has come is read, then the error', async () => {
    const before = await dropped()
    const controller = new AbortController()
    const stream = guest.stream('endless', undefined, { signal: controller.signal })
    expect(await stream.next()).toEqual({ done: false, value: 0 })
    controller.abort()
    const drain = async (): Promise<void> => {
      for await (const _ of stream);
    }
    await rejection(drain(), 'cancelled')
    await until(async () => (await dropped()) === before + 1)
  })

  test('a signal that has aborted, and deadlines that are past or no time, are refused before anything is sent', async () => {
    const { calls } = guest.stats()
    await rejection(guest.stream('count', 3, { signal: AbortSignal.abort() }).next(), 'cancelled')
    await rejection(guest.stream('count', 3, { deadline: Date.now() - 1 }).next(), 'deadline')
    await rejection(guest.call('dropped', undefined, { deadline: Number.NaN }), 'invalid-argument', 'deadline')
    expect(guest.stats().calls).toBe(calls)
  })

  test('context travels there and back', async () => {
    const heard: unknown[] = []
    const context = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', who: 'grüße' }
    const onContext = (back: unknown): void => void heard.push(back)
    expect(await guest.call('trace', undefined, { context, onContext })).toEqual(context)
    expect(heard).toEqual([{ seen: 'yes' }])
    expect(await guest.call('trace')).toEqual({})
  })

  test('context beside an argument that fills its place, and beside a large one, is whole', async () => {
    const context = { key: 'v'.repeat(3000) }
    for (const size of [10, 1000, 4096, 100_000]) {
      expect(await guest.call('trace', Buffer.alloc(size), { context })).toEqual(context)
    }
  })

  test('context that is no object of texts, or too long, is refused', async () => {
    const wrong = { key: 1 } as unknown as Record<string, string>
    await rejection(guest.call('trace', undefined, { context: wrong }), 'invalid-argument', 'object of texts')
    await rejection(guest.call('trace', undefined, { context: { key: 'v'.repeat(5000) } }), 'too-large', '4096')
  })

  test('a thousand calls that are cancelled at random all settle, and nothing is left', async () => {
    const calls = Array.from({ length: 1000 }, (_, index) => {
      const controller = new AbortController()
      setTimeout(() => controller.abort(), index % 17)
      return guest.call('sleep_async', ms(index % 23), { signal: controller.signal }).then(
        () => 'done',
        (error: { code: string }) => error.code,
      )
    })
    const outcomes = new Set(await Promise.all(calls))
    expect([...outcomes].every((outcome) => outcome === 'done' || outcome === 'cancelled')).toBe(true)
    await until(() => guest.stats().inFlight === 0)
  })
})
