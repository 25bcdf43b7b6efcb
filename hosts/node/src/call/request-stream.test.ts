// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { until } from '../../test/support/calls.ts'
import { Feed, numbers } from '../../test/support/streams.ts'
import type { Encoded } from '../common/codec.ts'
import type { PolyloopError } from '../common/errors.ts'
import { isStream, RequestStream, type Sink, toAsync } from './request-stream.ts'

/** A sink with so many places, which notes what it is sent. */
class Places implements Sink {
  readonly sent: unknown[] = []
  ended = false
  free: number
  readonly #waiting: (() => void)[] = []

  constructor(free: number) {
    this.free = free
  }

  send(item: Encoded): number | undefined {
    if (this.free === 0) return undefined
    this.free--
    this.sent.push(item.payload)
    return 10
  }

  end(): void {
    this.ended = true
  }

  whenFree(then: () => void): void {
    this.#waiting.push(then)
  }

  give(): void {
    this.free++
    this.#waiting.shift()?.()
  }
}

const encode = (value: unknown): Encoded => ({ flags: 0, payload: String(value) })

function feed(
  iterable: AsyncIterable<unknown>,
  places: Places,
): { requestStream: RequestStream; failures: PolyloopError[] } {
  const failures: PolyloopError[] = []
  const requestStream = new RequestStream(iterable, encode, (error) => void failures.push(error))
  requestStream.start(places)
  return { requestStream, failures }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('async iterables and iterators are streams, and what can be iterated again is a value', () => {
  const streams = [new Feed([]), new ReadableStream(), numbers(), [1].values(), new Map().entries()]
  expect(streams.map(isStream)).toEqual(streams.map(() => true))
  const values = [[], 'text', Buffer.alloc(1), new Float64Array(1), null, {}, new Map(), new Set(), { next: () => 1 }]
  expect(values.map(isStream)).toEqual(values.map(() => false))
})

test('an iterator is fed, and ended when nobody wants the rest', async () => {
  let ended = false
  function* endless(): Generator<number> {
    try {
      for (let number = 0; ; number++) yield number
    } finally {
      ended = true
    }
  }
  const items: unknown[] = []
  for await (const item of toAsync(endless())) if (items.push(item) === 3) break
  expect([items, ended]).toEqual([[0, 1, 2], true])
})

test('items go out in order, then the end', async () => {
  const places = new Places(100)
  feed(new Feed(numbers(5)), places)
  await until(() => places.ended)
  expect(places.sent).toEqual(['0', '1', '2', '3', '4'])
})

test('it stops at 64 items that were not given back, and goes on one by one', async () => {
  const places = new Places(1000)
  const { requestStream } = feed(new Feed(numbers()), places)
  await turn()
  expect(places.sent.length).toBe(64)
  requestStream.acknowledge(10)
  await turn()
  expect(places.sent.length).toBe(65)
  requestStream.finish()
})

test('where no place is free it waits for one, and loses nothing', async () => {
  const places = new Places(2)
  const { requestStream } = feed(new Feed(numbers(4)), places)
  await turn()
  expect(places.sent).toEqual(['0', '1'])
  places.give()
  await turn()
  requestStream.acknowledge(10)
  places.give()
  await until(() => places.ended)
  expect(places.sent).toEqual(['0', '1', '2', '3'])
})

test('a call that is over closes the iterable, also while it waits for room', async () => {
  const source = new Feed(numbers())
  const { requestStream, failures } = feed(source, new Places(1000))
  await turn()
  requestStream.finish()
  requestStream.finish()
  await until(() => source.closed)
  expect(failures).toEqual([])
})

test('an iterable that fails tells why, once, and not after the call is over', async () => {
  async function* broken(): AsyncGenerator<number> {
    yield 1
    throw new RangeError('no more')
  }
  const { failures } = feed(broken(), new Places(10))
  await turn()
  expect(failures.map(({ code, cause }) => [code, cause])).toEqual([['cancelled', new RangeError('no more')]])
  const late = feed(broken(), new Places(10))
  late.requestStream.finish()
  await turn()
  expect(late.failures).toEqual([])
})

test('what cannot be closed is the iterable’s own business', async () => {
  const stuck: AsyncIterable<unknown> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => {}),
      return: () => Promise.reject(new Error('it will not close')),
    }),
  }
  const { requestStream, failures } = feed(stuck, new Places(1))
  await turn()
  requestStream.finish()
  await turn()
  expect(failures).toEqual([])
})

/** An object that answers each property by throwing. */
const untouchable: object = new Proxy(
  {},
  {
    get: () => {
      throw new Error('get')
    },
    getPrototypeOf: () => {
      throw new Error('getPrototypeOf')
    },
    has: () => {
      throw new Error('has')
    },
  },
)

type Thrower = () => never

function throws(error: unknown): Thrower {
  return () => {
    throw error
  }
}

test('what does not let itself be asked whether it is a stream is invalid-argument', () => {
  expect(() => isStream(untouchable)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
})

const ends: readonly (readonly [how: string, end: unknown])[] = [
  ['throws', throws(new Error('it will not close'))],
  ['throws nothing', throws(undefined)],
  ['is no function', 7],
  ['returns what throws', () => untouchable],
  ['never settles', () => new Promise(() => {})],
]

test.each(ends)(
  'a return() that %s ends the stream all the same, and is called when nothing else is',
  async (_, end) => {
    let isCalled = false
    const source: AsyncIterable<unknown> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: (typeof end !== 'function'
          ? end
          : () => {
              isCalled = true
              return end()
            }) as never,
      }),
    }
    const { requestStream, failures } = feed(source, new Places(1))
    await turn()
    requestStream.finish()
    expect(isCalled).toBe(false)
    await turn()
    expect(isCalled).toBe(typeof end === 'function')
    expect(failures).toEqual([])
  },
)

const broken: readonly (readonly [how: string, begin: unknown])[] = [
  ['has no iterator', null],
  ['has an iterator that is none', () => null],
  ['throws at once', throws(new Error('no'))],
  ['throws what cannot be read', throws(untouchable)],
  ['has no next', () => ({})],
  ['has a next that throws', () => ({ next: throws(Symbol('no')) })],
  ['gives nothing', () => ({ next: () => null })],
  ['gives what throws', () => ({ next: () => untouchable })],
  ['rejects with what cannot be read', () => ({ next: () => Promise.reject(untouchable) })],
  [
    'gives a result that throws',
    () => ({ next: () => Object.defineProperty({}, 'done', { get: throws(untouchable) }) }),
  ],
]

test.each(broken)('an iterable that %s fails its call, once', async (_, begin) => {
  const { failures } = feed({ [Symbol.asyncIterator]: begin } as never, new Places(1))
  await turn()
  expect(failures.map(({ code }) => code)).toEqual(['cancelled'])
  expect(failures[0]?.message).toContain('the stream that was the argument failed')
})

test('an item that cannot be encoded fails its call, and closes the iterable', async () => {
  const source = new Feed(numbers())
  const failures: unknown[] = []
  const requestStream: RequestStream = new RequestStream(source, throws(untouchable), (error) => {
    failures.push(error)
    requestStream.finish()
  })
  requestStream.start(new Places(1))
  await until(() => source.closed)
  expect(failures).toHaveLength(1)
})

test('a call that is over before its stream has begun asks nothing of the iterable', async () => {
  const source = { [Symbol.asyncIterator]: throws(new Error('asked')) }
  const { requestStream, failures } = feed(source as never, new Places(1))
  requestStream.finish()
  await turn()
  expect(failures).toEqual([])
})
