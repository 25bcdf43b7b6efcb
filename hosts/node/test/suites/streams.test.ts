// SPDX-License-Identifier: Apache-2.0
// Streams, the same claims for every guest.
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Runtime } from '../../src/face.ts'
import { rejection, until } from '../support/calls.ts'
import { all, Feed, guests, method, numbers } from '../support/streams.ts'

describe.each(guests)('streams of a $language guest', ({ ms, misuse, loadGuest }) => {
  let guest: Runtime
  beforeAll(async () => {
    guest = await loadGuest()
  })
  afterAll(() => guest.unload())

  const dropped = (): Promise<number> => guest.call('dropped') as Promise<number>

  describe('from the guest', () => {
    test.each(['count', 'count_async'])('%s: every item arrives, in order', async (name) => {
      expect(await all(guest.stream(name, 0))).toEqual([])
      expect(await all(guest.stream(name, 5))).toEqual([0, 1, 2, 3, 4])
      expect(await all(guest.stream(name, 10_000))).toEqual([...numbers(10_000)])
    })

    test('a function that streams is one when it is called as a method', async () => {
      expect(await all(method(guest, 'count', 3))).toEqual([0, 1, 2])
    })

    test('bytes of every size are Buffers of their own', async () => {
      for (const size of [4, 1000, 1025, 5000, 300_000]) {
        const blocks = (await all(method(guest, 'blocks', 5, size))) as Buffer[]
        expect(blocks.map((block) => block.length)).toEqual([size, size, size, size, size])
        expect(blocks.map((block) => block.readUInt32LE(0))).toEqual([0, 1, 2, 3, 4])
      }
    })

    test('an error in the middle arrives after the items before it', async () => {
      const stream = guest.stream('fails_after', 3)
      expect([await stream.next(), await stream.next(), await stream.next()].map(({ value }) => value)).toEqual([
        0, 1, 2,
      ])
      const error = await rejection(stream.next(), 'guest-error')
      expect(error.guest?.code).toBe('fixture-stream')
      expect(await stream.next()).toEqual({ done: true, value: undefined })
    })

    test.each(['endless', 'endless_async'])(
      '%s: leaving the loop ends the guest, and what it has to clean up',
      async (name) => {
        const before = await dropped()
        const stream = guest.stream(name)
        for await (const item of stream) if (item === 100) break
        await until(async () => (await dropped()) === before + 1)
        expect(await stream.next()).toEqual({ done: true, value: undefined })
      },
    )

    test('return, throw, dispose and a destroyed Readable end it as well', async () => {
      const before = await dropped()
      const [a, b] = [guest.stream('endless'), guest.stream('endless')]
      await Promise.all([a.next(), b.next()])
      await a.return()
      await expect(b.throw(new Error('enough'))).rejects.toThrow('enough')
      {
        await using c = guest.stream('endless')
        await c.next()
      }
      const readable = Readable.from(guest.stream('endless'))
      for await (const item of readable) if (item === 10) break
      await until(async () => (await dropped()) === before + 4)
    })

    test('leaving a stream that has just ended is no cancellation', async () => {
      const { errors, late } = guest.stats()
      for (let time = 0; time < 100; time++) for await (const _ of guest.stream('count', 1)) break
      await until(() => guest.stats().inFlight === 0)
      // Some streams end before their reader leaves, some after: those are late, and counted as cancelled, each once.
      expect(guest.stats().errors - errors).toBe(guest.stats().late - late)
    })

    test('a reader that stops, stops the guest: it is ahead by its window and no more', async () => {
      const { bytesIn } = guest.stats()
      const stream = guest.stream('endless')
      await stream.next()
      await until(async () => {
        const before = guest.stats().bytesIn
        await new Promise((resolve) => setTimeout(resolve, 20))
        return guest.stats().bytesIn === before
      })
      // 256 items, of at most 3 digits each, and what was read.
      expect(guest.stats().bytesIn - bytesIn).toBeLessThan(1000)
      const items: unknown[] = []
      for await (const item of stream) if (items.push(item) === 1000) break
      expect(items).toEqual([...numbers(1001)].slice(1))
    })

    test('it is ahead by less where less is asked for', async () => {
      for (const ahead of [1, 3, 8]) {
        // What streams that were left answer still counts, too.
        await until(() => guest.stats().inFlight === 0)
        const { bytesIn } = guest.stats()
        const stream = guest.stream('endless', undefined, { ahead })
        await stream.next()
        await until(async () => {
          const before = guest.stats().bytesIn
          await new Promise((resolve) => setTimeout(resolve, 20))
          return guest.stats().bytesIn === before && before - bytesIn >= ahead
        })
        // Of one digit each: what was read, and what is ahead.
        const sent = guest.stats().bytesIn - bytesIn
        expect(sent).toBeLessThanOrEqual(ahead + 1)
        const items: unknown[] = []
        for await (const item of stream) if (items.push(item) === 300) break
        expect(items).toEqual([...numbers(301)].slice(1))
      }
    })

    test('nothing is sent before the first item is asked for', async () => {
      const { calls } = guest.stats()
      const stream = guest.stream('count', 1)
      expect(guest.stats().calls).toBe(calls)
      await stream.return()
      expect(guest.stats().calls).toBe(calls)
    })

    test('a stream is read once', async () => {
      const stream = guest.stream('count', 3)
      await all(stream)
      expect(() => stream[Symbol.asyncIterator]()).toThrow('is being read already')
    })

    test('several at once, and unary calls beside them, do not mix', async () => {
      const streams = Array.from({ length: 6 }, () => all(guest.stream('count_async', 500)))
      const calls = Array.from({ length: 100 }, () => dropped())
      for (const items of await Promise.all(streams)) expect(items).toEqual([...numbers(500)])
      await Promise.all(calls)
    })

    test('a function that does not stream gives a stream of one', async () => {
      expect(await all(guest.stream('dropped'))).toEqual([await dropped()])
    })

    test('a function that streams says so when it is called for one value', async () => {
      await rejection(guest.call('count', 3), 'invalid-argument', 'stream')
    })

    test('a function that is not there is not-found when the first item is asked for', async () => {
      await rejection(guest.stream('no_such').next(), 'not-found', 'no_such')
    })
  })

  describe('to the guest', () => {
    test.each(['total', 'total_async'])('%s: an async iterable is an argument', async (name) => {
      expect(await guest.call(name, new Feed([]))).toBeCloseTo(0)
      expect(await guest.call(name, new Feed(numbers(1000)))).toBe(499_500)
    })

    test('a Readable and a web stream are', async () => {
      const chunks = [Buffer.alloc(10, 1), Buffer.alloc(5000, 2), Buffer.alloc(300_000, 3)]
      expect(await guest.call('swallow', Readable.from(chunks))).toBe(305_010)
      const web = new ReadableStream({
        start(controller): void {
          for (const chunk of chunks) controller.enqueue(chunk)
          controller.close()
        },
      })
      expect(await guest.call('swallow', web)).toBe(305_010)
    })

    test('a slow guest stops a fast host', async () => {
      const feed = new Feed(numbers(300))
      const began = performance.now()
      const sum = guest.slow_total?.(ms(5), feed) as Promise<unknown>
      await until(() => feed.given >= 64)
      await new Promise((resolve) => setTimeout(resolve, 10))
      // What it has taken meanwhile, five milliseconds each at least, and what may be ahead of it.
      expect(feed.given).toBeLessThan((performance.now() - began) / 5 + 140)
      expect(await sum).toBe(44_850)
    })

    test('both ways no more is under way than was asked for', async () => {
      const feed = new Feed(Array.from({ length: 400 }, () => 'a'))
      const stream = guest.stream('upper', feed, { ahead: 2 })
      expect((await stream.next()).value).toBe('A')
      await until(async () => {
        const before = feed.given
        await new Promise((resolve) => setTimeout(resolve, 20))
        return feed.given === before
      })
      // Two either way, what was read, and what either side has in its hands.
      expect(feed.given).toBeLessThan(9)
      expect(await all(stream)).toEqual(Array.from({ length: 399 }, () => 'A'))
    })

    test('a guest that has enough ends the iterable', async () => {
      const feed = new Feed(numbers())
      expect(await guest.call('first', feed)).toBe(0)
      await until(() => feed.closed)
      const { given } = feed
      expect(await guest.call('total', new Feed([1, 2]))).toBe(3)
      expect(feed.given).toBe(given)
    })

    test('an iterable that throws rejects the call with its error, and the guest hears it', async () => {
      async function* broken(): AsyncGenerator<number> {
        yield 1
        throw new RangeError('no more')
      }
      const error = await rejection(guest.call('total', broken()), 'cancelled', 'no more')
      expect(error.cause).toBeInstanceOf(RangeError)
      expect(await guest.call('total', new Feed([1, 2]))).toBe(3)
    })

    test('an item that cannot be encoded is invalid-argument', async () => {
      await rejection(guest.call('total', new Feed([1, 2n])), 'invalid-argument', 'BigInt')
    })

    test('a stream for a function that takes none, and none for one that does, say so', async () => {
      await rejection(guest.call('dropped', new Feed([])), misuse)
      await rejection(guest.call('total', 3), misuse)
    })
  })

  describe('both ways', () => {
    test.each(['upper', 'upper_async'])('%s: what goes in comes out', async (name) => {
      const words = [...numbers(2000)].map((number) => `word ${number}`)
      expect(await all(guest.stream(name, new Feed(words)))).toEqual(words.map((word) => word.toUpperCase()))
    })

    test.each(['upper', 'upper_async'])('%s: by turns', async (name) => {
      const call = guest.duplex(name)
      for (const word of ['one', 'two', 'three']) {
        await call.write(word)
        expect(await call.next()).toEqual({ done: false, value: word.toUpperCase() })
      }
      call.end()
      expect(await call.next()).toEqual({ done: true, value: undefined })
      await rejection(call.write('four'), 'invalid-argument', 'end() was called')
    })

    test('leaving ends the iterable that was the argument', async () => {
      const feed = new Feed([...numbers(10_000)].map(String))
      for await (const word of guest.stream('upper', feed)) if (word === '10') break
      await until(() => feed.closed)
      expect(feed.given).toBeLessThan(1000)
    })
  })

  test('an unload lets streams finish', async () => {
    const other = await loadGuest()
    const stream = other.stream('count', 1000)
    await stream.next()
    const unloaded = other.unload()
    expect((await all(stream)).length).toBe(999)
    await unloaded
    await rejection(other.stream('count', 1).next(), 'unloaded')
  })

  test('with the fewest calls in flight streams go on, one item at a time', async () => {
    const other = await loadGuest({ maxCalls: 1 })
    expect(await all(other.stream('upper', new Feed(['a', 'b', 'c'])))).toEqual(['A', 'B', 'C'])
    expect(await other.call('total', new Feed(numbers(500)))).toBe(124_750)
    await other.unload()
  })

  test('a gigabyte flows through flat memory', async () => {
    let total = 0
    let most = 0
    for await (const block of method(guest, 'blocks', 1000, 1_000_000)) {
      total += (block as Buffer).length
      if (total % 100_000_000 === 0) most = Math.max(most, guest.stats().slabBytes)
    }
    expect(total).toBe(1_000_000_000)
    expect(most).toBeLessThan(400 * 2 ** 20)
  })
})
