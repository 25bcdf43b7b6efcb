// SPDX-License-Identifier: Apache-2.0
// What a guest hears of callers who leave, whose time is up, or who sent something along.
import { expect } from 'vitest'
import type { Subject } from './subject.ts'
import { type Claim, column } from './support/cells.ts'
import { rejection, until } from './support/expect.ts'
import { Feed, numbers } from './support/streams.ts'

const minute = 60_000
const count = (guest: Subject, name: string): Promise<number> => guest.call(name) as Promise<number>
const idle = (guest: Subject): Promise<void> => until(() => guest.stats().inFlight === 0)

/** Calls a function that waits for a minute, gives it up once it has begun, and waits until `heard` has counted that. */
async function giveUp(guest: Subject, name: string, heard: string): Promise<void> {
  const [before, running] = [await count(guest, heard), await count(guest, 'begun')]
  const controller = new AbortController()
  const call = guest.call(name, [minute], { signal: controller.signal })
  await until(async () => (await count(guest, 'begun')) === running + 1)
  controller.abort(new Error('never mind'))
  const error = await rejection(call, 'cancelled')
  expect(error.cause).toEqual(new Error('never mind'))
  await until(async () => (await count(guest, heard)) === before + 1)
  await idle(guest)
}

/** Calls that are given up at random: each settles, as one that was answered or one that was not. */
async function atRandom(guest: Subject, name: string, calls: number, ms: number): Promise<void> {
  const outcomes = Array.from({ length: calls }, (_, index) => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), index % 17)
    return guest.call(name, [index % ms], { signal: controller.signal }).then(
      () => 'done',
      (error: { code: string }) => error.code,
    )
  })
  for (const outcome of await Promise.all(outcomes)) expect(['done', 'cancelled']).toContain(outcome)
  await idle(guest)
}

const calls: Claim[] = [
  {
    name: 'an async function that is cancelled ends where it waits',
    needs: ['async'],
    run: ({ guest }) => giveUp(guest, 'sleep_async', 'dropped'),
  },
  {
    name: 'a function on a thread that is cancelled can see it',
    needs: ['cancelsSync:asks'],
    run: ({ guest }) => giveUp(guest, 'spin_until_cancelled', 'cancels_seen'),
  },
  {
    name: 'a function on a thread that is cancelled ends',
    run: async ({ guest }) => {
      await idle(guest)
      const { late } = guest.stats()
      const controller = new AbortController()
      const call = guest.call('park', [], { signal: controller.signal })
      controller.abort()
      await rejection(call, 'cancelled')
      await until(() => guest.stats().late === late + 1)
      expect(guest.stats().inFlight).toBe(0)
    },
  },
  {
    name: 'a deadline that passes is heard as a cancellation is',
    needs: ['async'],
    run: async ({ guest }) => {
      await idle(guest)
      const [before, late] = [await count(guest, 'dropped'), guest.stats().late]
      await rejection(guest.call('sleep_async', [minute], { deadline: 200 }), 'deadline')
      await until(async () => (await count(guest, 'dropped')) === before + 1)
      await until(() => guest.stats().late === late + 1)
    },
  },
  {
    name: 'a deadline that passes is seen by a function on a thread',
    needs: ['cancelsSync:asks'],
    run: async ({ guest }) => {
      const before = await count(guest, 'cancels_seen')
      const running = await count(guest, 'begun')
      const call = guest.call('spin_until_cancelled', [minute], { deadline: 500 })
      await rejection(call, 'deadline')
      // One that no thread had taken by then has not begun.
      await idle(guest)
      const begun = (await count(guest, 'begun')) - running
      expect((await count(guest, 'cancels_seen')) - before).toBe(begun)
    },
  },
  {
    name: 'the time that remains is visible in the guest',
    run: async ({ guest }) => {
      expect((await guest.call('remaining')) ?? null).toBeNull()
      const remaining = (await guest.call('remaining', [], { deadline: minute })) as number
      expect(remaining).toBeGreaterThan(30)
      expect(remaining).toBeLessThanOrEqual(60)
    },
  },
  {
    name: 'a call that is cancelled while it waits for a thread never begins',
    needs: ['cancelsSync:asks'],
    run: async ({ load }) => {
      const guest = await load({ threads: 1 })
      const before = await count(guest, 'begun')
      const controllers = [new AbortController(), new AbortController()] as const
      const calls = controllers.map(({ signal }) => guest.call('spin_until_cancelled', [minute], { signal }))
      // The only thread takes them in order: the second waits behind the first.
      for (const [index, controller] of [...controllers.entries()].reverse()) {
        controller.abort()
        await rejection(calls[index] as Promise<unknown>, 'cancelled')
      }
      await idle(guest)
      expect(guest.stats().late).toBe(2)
      expect((await count(guest, 'begun')) - before).toBeLessThanOrEqual(1)
    },
  },
  {
    name: 'a signal that has aborted is refused before anything is sent',
    run: async ({ guest }) => {
      const sent = guest.stats().calls
      await rejection(guest.call('nothing', [], { signal: AbortSignal.abort() }), 'cancelled')
      expect(guest.stats().calls).toBe(sent)
    },
  },
  {
    name: 'a signal that aborts after the answer changes nothing',
    run: async ({ guest }) => {
      await idle(guest)
      const { errors, late } = guest.stats()
      const controller = new AbortController()
      expect(await guest.call('greet', ['Ada'], { signal: controller.signal, deadline: minute })).toBe('Hello, Ada!')
      controller.abort()
      expect(guest.stats()).toMatchObject({ errors, late })
    },
  },
  {
    name: 'hundreds of calls that are cancelled at random all settle, and nothing is left',
    run: ({ guest }) => atRandom(guest, 'sleep_ms', 300, 5),
  },
  {
    name: 'a thousand async calls that are cancelled at random all settle, and nothing is left',
    needs: ['async'],
    run: ({ guest }) => atRandom(guest, 'sleep_async', 1000, 23),
  },
  {
    name: 'a context that is too long is refused',
    run: async ({ guest }) => {
      const context = { key: 'v'.repeat(5000) }
      await rejection(guest.call('trace', [], { context }), 'too-large', '4096')
    },
  },
]

const streams: Claim[] = [
  {
    name: 'cancelling a call ends the stream that feeds it',
    needs: ['streams'],
    run: async ({ guest }) => {
      const feed = new Feed(numbers())
      const controller = new AbortController()
      const call = guest.call('total', [feed], { signal: controller.signal })
      await until(() => feed.given > 1000)
      controller.abort()
      await rejection(call, 'cancelled')
      await until(() => feed.closed)
      await idle(guest)
    },
  },
  {
    name: 'a stream is cancelled by its signal: what has come is read, then the error',
    needs: ['streams'],
    run: async ({ guest }) => {
      const before = await count(guest, 'dropped')
      const controller = new AbortController()
      const stream = guest.stream('endless', [], { signal: controller.signal })
      expect(await stream.next()).toEqual({ done: false, value: 0 })
      controller.abort()
      const drain = async (): Promise<void> => {
        for await (const _ of stream);
      }
      await rejection(drain(), 'cancelled')
      await until(async () => (await count(guest, 'dropped')) === before + 1)
    },
  },
  {
    name: 'a stream whose deadline passes ends with it, and the guest hears it',
    needs: ['streams'],
    run: async ({ guest }) => {
      const before = await count(guest, 'dropped')
      const stream = guest.stream('endless', [], { deadline: 500 })
      const drain = async (): Promise<void> => {
        for await (const _ of stream);
      }
      await rejection(drain(), 'deadline')
      await idle(guest)
      expect(await count(guest, 'dropped')).toBeGreaterThanOrEqual(before)
    },
  },
  {
    name: 'a stream whose signal has aborted is refused before anything is sent',
    needs: ['streams'],
    run: async ({ guest }) => {
      const sent = guest.stats().calls
      await rejection(guest.stream('count', [3], { signal: AbortSignal.abort() }).next(), 'cancelled')
      await rejection(guest.stream('count', [3], { deadline: -1 }).next(), 'deadline')
      expect(guest.stats().calls).toBe(sent)
    },
  },
]

column('cancellation', [...calls, ...streams])
