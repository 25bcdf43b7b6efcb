// SPDX-License-Identifier: Apache-2.0
// What only Node.js has to do with streams: its own kinds of them, and how they are left; conformance/ has the rest.
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rejection, until } from '../support/calls.ts'
import { anyCall, loadRust, type RustGuest } from '../support/guests.ts'
import { all, Feed, method, numbers } from '../support/streams.ts'

let guest: RustGuest
beforeAll(async () => {
  guest = await loadRust()
})
afterAll(() => guest.unload())

const dropped = (): Promise<number> => anyCall(guest, 'dropped') as Promise<number>

describe('from the guest', () => {
  test('a function that streams is one when it is called as a method', async () => {
    expect(await all(method(guest, 'count', 3))).toEqual([0, 1, 2])
  })

  test('return, throw, dispose and a destroyed Readable end it', async () => {
    const before = await dropped()
    const [a, b] = [method(guest, 'endless'), method(guest, 'endless')]
    await Promise.all([a.next(), b.next()])
    await a.return()
    await expect(b.throw(new Error('enough'))).rejects.toThrow('enough')
    {
      await using c = method(guest, 'endless')
      await c.next()
    }
    const readable = Readable.from(method(guest, 'endless'))
    for await (const item of readable) if (item === 10) break
    await until(async () => (await dropped()) === before + 4)
  })

  test('a stream is read once', async () => {
    const stream = method(guest, 'count', 3)
    await all(stream)
    expect(() => stream[Symbol.asyncIterator]()).toThrow('is being read already')
  })
})

describe('to the guest', () => {
  test('a Readable and a web stream are arguments', async () => {
    const chunks = [Buffer.alloc(10, 1), Buffer.alloc(5000, 2), Buffer.alloc(300_000, 3)]
    expect(await anyCall(guest, 'swallow', Readable.from(chunks))).toBe(305_010)
    const web = new ReadableStream({
      start(controller): void {
        for (const chunk of chunks) controller.enqueue(chunk)
        controller.close()
      },
    })
    expect(await anyCall(guest, 'swallow', web)).toBe(305_010)
  })

  test('an item that cannot be encoded is invalid-argument', async () => {
    await rejection(anyCall(guest, 'total', new Feed([1, Symbol('x')])), 'invalid-argument', 'a symbol at')
    expect(await anyCall(guest, 'total', new Feed(numbers(4)))).toBe(6)
  })

  test('nothing can be written once the end was', async () => {
    const call = guest.duplex('upper' as 'echo')
    await call.write('one')
    call.end()
    expect(await all(call)).toEqual(['ONE'])
    await rejection(call.write('two'), 'invalid-argument', 'end() was called')
  })
})
