// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { PolyloopError } from '../common/errors.ts'
import { windowBytes } from '../ring/block.ts'
import { Output } from './response-stream.ts'

/** An output with a source that notes what it is told. */
function open(window = 4): { output: Output; credits: [number, number][]; given: PolyloopError[] } {
  const credits: [number, number][] = []
  const given: PolyloopError[] = []
  const output = new Output((self) => {
    self.window = window
    return { credit: (items, bytes) => void credits.push([items, bytes]), abandon: (error) => void given.push(error) }
  })
  return { output, credits, given }
}

test('credit goes back when half of the items, or half of the bytes, were read', async () => {
  const { output, credits } = open()
  output.start()
  for (let item = 0; item < 4; item++) output.push(item, 10)
  expect(credits).toEqual([])
  await output.next()
  expect(credits).toEqual([])
  await output.next()
  expect(credits).toEqual([[2, 20]])
  output.push('large', windowBytes)
  await output.next()
  await output.next()
  await output.next()
  expect(credits).toEqual([
    [2, 20],
    [2, 20],
    [1, windowBytes],
  ])
})

test('with a window of one every item that is read gives credit', async () => {
  const { output, credits } = open(1)
  const next = output.next()
  output.push('a', 1)
  expect(await next).toEqual({ done: false, value: 'a' })
  expect(credits).toEqual([[1, 1]])
})

test('readers that wait get items in the order in which they asked', async () => {
  const { output } = open()
  const reads = [output.next(), output.next(), output.next()]
  output.push(1, 0)
  output.push(2, 0)
  output.finish()
  expect(await Promise.all(reads)).toEqual([
    { done: false, value: 1 },
    { done: false, value: 2 },
    { done: true, value: undefined },
  ])
})

test('a failure comes after the items before it, once', async () => {
  const { output } = open()
  output.start()
  output.push(1, 0)
  output.fail(new Error('broken'))
  output.push(2, 0)
  expect(await output.next()).toEqual({ done: false, value: 1 })
  await expect(output.next()).rejects.toThrow('broken')
  expect(await output.next()).toEqual({ done: true, value: undefined })
})

test('of several readers that wait the first gets the failure, the others the end', async () => {
  const { output } = open()
  const [first, second] = [output.next(), output.next()]
  output.fail(new Error('broken'))
  await expect(first).rejects.toThrow('broken')
  expect(await second).toEqual({ done: true, value: undefined })
})

test('giving up is told once, and not at all after the end or before the start', async () => {
  const { output, given } = open()
  output.start()
  await output.return()
  await output.return()
  expect(given.map(({ code }) => code)).toEqual(['cancelled'])
  const ended = open()
  ended.output.start()
  ended.output.finish()
  await ended.output.return()
  expect(ended.given).toEqual([])
  const fresh = open()
  await fresh.output.return()
  expect(await fresh.output.next()).toEqual({ done: true, value: undefined })
  expect(fresh.given).toEqual([])
})

test('a call that cannot start is a failure of the first read', async () => {
  const output = new Output(() => {
    throw new PolyloopError('not-found', 'there is none')
  })
  await expect(output.next()).rejects.toMatchObject({ code: 'not-found' })
  expect(await output.next()).toEqual({ done: true, value: undefined })
})

test('items may go beyond the credit in bytes by the largest of them, in whatever order they come', () => {
  const { output } = open(64)
  output.start()
  output.receive('large', 5 * windowBytes)
  output.receive('sent before it', windowBytes - 1)
  expect(() => output.receive('one more', 1)).toThrow('it sends items without credit')
})

test('ten thousand items that nobody reads yet are kept in order', async () => {
  const { output } = open(10_000)
  output.start()
  for (let item = 0; item < 10_000; item++) output.receive(item, 1)
  expect(() => output.receive('one more', 1)).toThrow('it sends items without credit')
  output.finish()
  let wanted = 0
  for await (const item of output) expect(item).toBe(wanted++)
  expect(wanted).toBe(10_000)
})
