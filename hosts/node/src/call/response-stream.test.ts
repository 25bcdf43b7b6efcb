// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { PolyloopError } from '../common/errors.ts'
import { windowBytes } from '../common/layout.ts'
import { ResponseStream } from './response-stream.ts'

/** An responseStream with a source that notes what it is told. */
function open(window = 4): { responseStream: ResponseStream; credits: [number, number][]; given: PolyloopError[] } {
  const credits: [number, number][] = []
  const given: PolyloopError[] = []
  const responseStream = new ResponseStream((self) => {
    self.window = window
    return { credit: (items, bytes) => void credits.push([items, bytes]), abandon: (error) => void given.push(error) }
  })
  return { responseStream, credits, given }
}

test('credit goes back when half of the items, or half of the bytes, were read', async () => {
  const { responseStream, credits } = open()
  responseStream.start()
  for (let item = 0; item < 4; item++) responseStream.push(item, 10)
  expect(credits).toEqual([])
  await responseStream.next()
  expect(credits).toEqual([])
  await responseStream.next()
  expect(credits).toEqual([[2, 20]])
  responseStream.push('large', windowBytes)
  await responseStream.next()
  await responseStream.next()
  await responseStream.next()
  expect(credits).toEqual([
    [2, 20],
    [2, 20],
    [1, windowBytes],
  ])
})

test('with a window of one every item that is read gives credit', async () => {
  const { responseStream, credits } = open(1)
  const next = responseStream.next()
  responseStream.push('a', 1)
  expect(await next).toEqual({ done: false, value: 'a' })
  expect(credits).toEqual([[1, 1]])
})

test('readers that wait get items in the order in which they asked', async () => {
  const { responseStream } = open()
  const reads = [responseStream.next(), responseStream.next(), responseStream.next()]
  responseStream.push(1, 0)
  responseStream.push(2, 0)
  responseStream.finish()
  expect(await Promise.all(reads)).toEqual([
    { done: false, value: 1 },
    { done: false, value: 2 },
    { done: true, value: undefined },
  ])
})

test('a failure comes after the items before it, once', async () => {
  const { responseStream } = open()
  responseStream.start()
  responseStream.push(1, 0)
  responseStream.fail(new Error('broken'))
  responseStream.push(2, 0)
  expect(await responseStream.next()).toEqual({ done: false, value: 1 })
  await expect(responseStream.next()).rejects.toThrow('broken')
  expect(await responseStream.next()).toEqual({ done: true, value: undefined })
})

test('of several readers that wait the first gets the failure, the others the end', async () => {
  const { responseStream } = open()
  const [first, second] = [responseStream.next(), responseStream.next()]
  responseStream.fail(new Error('broken'))
  await expect(first).rejects.toThrow('broken')
  expect(await second).toEqual({ done: true, value: undefined })
})

test('giving up is told once, and not at all after the end or before the start', async () => {
  const { responseStream, given } = open()
  responseStream.start()
  await responseStream.return()
  await responseStream.return()
  expect(given.map(({ code }) => code)).toEqual(['cancelled'])
  const ended = open()
  ended.responseStream.start()
  ended.responseStream.finish()
  await ended.responseStream.return()
  expect(ended.given).toEqual([])
  const fresh = open()
  await fresh.responseStream.return()
  expect(await fresh.responseStream.next()).toEqual({ done: true, value: undefined })
  expect(fresh.given).toEqual([])
})

test('a call that cannot start is a failure of the first read', async () => {
  const responseStream = new ResponseStream(() => {
    throw new PolyloopError('not-found', 'there is none')
  })
  await expect(responseStream.next()).rejects.toMatchObject({ code: 'not-found' })
  expect(await responseStream.next()).toEqual({ done: true, value: undefined })
})

test('items may go beyond the credit in bytes by the largest of them, in whatever order they come', () => {
  const { responseStream } = open(64)
  responseStream.start()
  responseStream.receive('large', 5 * windowBytes)
  responseStream.receive('sent before it', windowBytes - 1)
  expect(() => responseStream.receive('one more', 1)).toThrow('it sends items without credit')
})

test('ten thousand items that nobody reads yet are kept in order', async () => {
  const { responseStream } = open(10_000)
  responseStream.start()
  for (let item = 0; item < 10_000; item++) responseStream.receive(item, 1)
  expect(() => responseStream.receive('one more', 1)).toThrow('it sends items without credit')
  responseStream.finish()
  let wanted = 0
  for await (const item of responseStream) expect(item).toBe(wanted++)
  expect(wanted).toBe(10_000)
})
