// SPDX-License-Identifier: Apache-2.0
// Streams from the guest, to the guest and both ways.
import { expect } from 'vitest'
import type { Subject } from './subject.ts'
import { type Claim, column } from './support/cells.ts'
import { rejection, until } from './support/expect.ts'
import { all, Feed, letItWork, numbers } from './support/streams.ts'

const needs = ['streams']
const later = ['streams', 'async']
const count = (guest: Subject, name: string): Promise<number> => guest.call(name) as Promise<number>
const idle = (guest: Subject): Promise<void> => until(() => guest.stats().inFlight === 0)

/** The same claim for a function on a thread and for an async one. */
const both = (name: string, run: (guest: Subject, suffix: string) => Promise<void>): Claim[] => [
  { name, needs, run: ({ guest }) => run(guest, '') },
  { name: `${name}, async`, needs: later, run: ({ guest }) => run(guest, '_async') },
]

const fromTheGuest: Claim[] = [
  ...both('every item arrives, in order', async (guest, suffix) => {
    expect(await all(guest.stream(`count${suffix}`, [10_000]))).toEqual([...numbers(10_000)])
  }),
  {
    name: 'bytes of every size are Buffers of their own',
    needs,
    run: async ({ guest }) => {
      for (const size of [4, 1000, 1025, 5000, 300_000]) {
        const blocks = (await all(guest.stream('blocks', [5, size]))) as Buffer[]
        expect(blocks.map((block) => block.length)).toEqual([size, size, size, size, size])
        expect(blocks.map((block) => block.readUInt32LE(0))).toEqual([0, 1, 2, 3, 4])
      }
    },
  },
  {
    name: 'a stream that has failed is over',
    needs,
    run: async ({ guest }) => {
      const stream = guest.stream('fails_after', [1])
      expect(await stream.next()).toEqual({ done: false, value: 0 })
      await rejection(stream.next(), 'guest-error')
      expect(await stream.next()).toEqual({ done: true, value: undefined })
    },
  },
  ...both('a reader who leaves ends the guest, and what it has to clean up', async (guest, suffix) => {
    const before = await count(guest, 'dropped')
    const stream = guest.stream(`endless${suffix}`)
    for await (const item of stream) if (item === 100) break
    await until(async () => (await count(guest, 'dropped')) === before + 1)
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  }),
  {
    name: 'leaving a stream that has just ended is no cancellation',
    needs,
    run: async ({ guest }) => {
      await idle(guest)
      const { errors, late } = guest.stats()
      for (let time = 0; time < 100; time++) for await (const _ of guest.stream('count', [1])) break
      await idle(guest)
      // Some streams end before their reader leaves, some after: those are late, and counted as cancelled, each once.
      expect(guest.stats().errors - errors).toBe(guest.stats().late - late)
    },
  },
  {
    name: 'nothing is sent before the first item is asked for',
    needs,
    run: async ({ guest }) => {
      const { calls } = guest.stats()
      const stream = guest.stream('count', [1])
      expect(guest.stats().calls).toBe(calls)
      await stream.return()
      expect(guest.stats().calls).toBe(calls)
    },
  },
  ...both('several at once, and unary calls beside them, do not mix', async (guest, suffix) => {
    const streams = Array.from({ length: 6 }, () => all(guest.stream(`count${suffix}`, [500])))
    const calls = Array.from({ length: 100 }, (_, index) => guest.call('add', [index, 1]))
    for (const items of await Promise.all(streams)) expect(items).toEqual([...numbers(500)])
    expect(await Promise.all(calls)).toEqual([...numbers(101)].slice(1))
  }),
  {
    name: 'a gigabyte flows through flat memory',
    needs,
    run: async ({ guest }) => {
      let total = 0
      let most = 0
      for await (const block of guest.stream('blocks', [1000, 1_000_000])) {
        total += (block as Buffer).length
        if (total % 100_000_000 === 0) most = Math.max(most, guest.stats().slabBytes)
      }
      expect(total).toBe(1_000_000_000)
      expect(most).toBeLessThan(400 * 2 ** 20)
    },
  },
]

/** A reader that takes one item, and then none for a while: how far the guest goes meanwhile. */
async function aheadBy(guest: Subject, suffix: string, ahead?: number): Promise<void> {
  await idle(guest)
  const window = ahead ?? 256
  const before = await count(guest, 'produced')
  const stream = guest.stream(`endless${suffix}`, [], ahead === undefined ? undefined : { ahead })
  await stream.next()
  await until(async () => (await count(guest, 'produced')) >= before + window)
  await letItWork(guest)
  // What was read, and one item that the guest has in its hands.
  expect((await count(guest, 'produced')) - before).toBeLessThanOrEqual(window + 2)
  const items: unknown[] = []
  for await (const item of stream) if (items.push(item) === 1000) break
  expect(items).toEqual([...numbers(1001)].slice(1))
}

const backPressure: Claim[] = [
  ...both('a reader that stops, stops the guest: it is ahead by 256 items and no more', aheadBy),
  ...both('it is ahead by less if less is asked for', async (guest, suffix) => {
    for (const ahead of [1, 3, 8]) await aheadBy(guest, suffix, ahead)
  }),
  ...both('a guest that stops, stops the host: 64 items are ahead of it and no more', async (guest, suffix) => {
    const feed = new Feed(numbers())
    const stream = guest.stream(`upper${suffix}`, [asTexts(feed)])
    expect((await stream.next()).value).toBe('0')
    // Nobody reads what it answers, so it takes nothing more once 256 answers are ahead.
    await until(() => feed.given >= 256 + 64)
    await letItWork(guest)
    expect(feed.given).toBeLessThanOrEqual(256 + 64 + 4)
    await stream.return()
    await until(() => feed.closed)
  }),
  ...both('both ways no more is under way than was asked for', async (guest, suffix) => {
    const feed = new Feed(Array.from({ length: 400 }, () => 'a'))
    const stream = guest.stream(`upper${suffix}`, [feed], { ahead: 2 })
    expect((await stream.next()).value).toBe('A')
    await until(() => feed.given >= 4)
    await letItWork(guest)
    // Two either way, what was read, and what either side has in its hands.
    expect(feed.given).toBeLessThan(9)
    expect(await all(stream)).toEqual(Array.from({ length: 399 }, () => 'A'))
  }),
]

async function* asTexts(feed: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const item of feed) yield String(item)
}

const toTheGuest: Claim[] = [
  ...both('an async iterable is an argument', async (guest, suffix) => {
    expect(await guest.call(`total${suffix}`, [new Feed([])])).toBeCloseTo(0)
    expect(await guest.call(`total${suffix}`, [new Feed(numbers(1000))])).toBe(499_500)
  }),
  {
    name: 'a slow guest gets every item',
    needs,
    run: async ({ guest }) => {
      expect(await guest.call('slow_total', [1, new Feed(numbers(300))])).toBe(44_850)
    },
  },
  {
    name: 'a guest that has enough ends the iterable',
    needs,
    run: async ({ guest }) => {
      const feed = new Feed(numbers())
      expect(await guest.call('first', [feed])).toBe(0)
      await until(() => feed.closed)
      const { given } = feed
      expect(await guest.call('total', [new Feed([1, 2])])).toBe(3)
      expect(feed.given).toBe(given)
    },
  },
  {
    name: 'an iterable that throws rejects the call with its error, and the guest hears it',
    needs,
    run: async ({ guest }) => {
      async function* broken(): AsyncGenerator<number> {
        yield 1
        throw new RangeError('no more')
      }
      const error = await rejection(guest.call('total', [broken()]), 'cancelled', 'no more')
      expect(error.cause).toBeInstanceOf(RangeError)
      await idle(guest)
      expect(await guest.call('total', [new Feed([1, 2])])).toBe(3)
    },
  },
]

const bothWays: Claim[] = [
  ...both('what goes in comes out', async (guest, suffix) => {
    const words = [...numbers(2000)].map((number) => `word ${number}`)
    expect(await all(guest.stream(`upper${suffix}`, [new Feed(words)]))).toEqual(
      words.map((word) => word.toUpperCase()),
    )
  }),
  ...both('by turns', async (guest, suffix) => {
    const call = guest.duplex(`upper${suffix}`)
    for (const word of ['one', 'two', 'three']) {
      await call.write(word)
      expect(await call.next()).toEqual({ done: false, value: word.toUpperCase() })
    }
    call.end()
    expect(await call.next()).toEqual({ done: true, value: undefined })
  }),
  ...both('leaving ends the iterable that was the argument', async (guest, suffix) => {
    const feed = new Feed([...numbers(10_000)].map(String))
    for await (const word of guest.stream(`upper${suffix}`, [feed])) if (word === '10') break
    await until(() => feed.closed)
    expect(feed.given).toBeLessThan(1000)
  }),
  {
    name: 'with the fewest calls in flight streams go on, one item at a time',
    needs,
    run: async ({ load }) => {
      const guest = await load({ maxCalls: 1 })
      expect(await all(guest.stream('upper', [new Feed(['a', 'b', 'c'])]))).toEqual(['A', 'B', 'C'])
      expect(await guest.call('total', [new Feed(numbers(500))])).toBe(124_750)
    },
  },
  {
    name: 'an unload lets streams finish',
    needs,
    run: async ({ load }) => {
      const guest = await load()
      const stream = guest.stream('count', [1000])
      await stream.next()
      const unloaded = guest.unload()
      expect((await all(stream)).length).toBe(999)
      await unloaded
      await rejection(guest.stream('count', [1]).next(), 'unloaded')
    },
  },
]

column('streams', [...fromTheGuest, ...backPressure, ...toTheGuest, ...bothWays])
