// SPDX-License-Identifier: Apache-2.0
// maxCalls and maxBytes: who goes, who waits, who fails.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isSettled, rejection, unpark, until } from '../support/calls.ts'
import { loadRust, type RustGuest } from '../support/guests.ts'

/** Calls are parked and released through a runtime beside the one under test, which may be full. */
let side: RustGuest
beforeAll(async () => {
  side = await loadRust()
})
afterAll(() => side.unload())

describe('maxCalls', () => {
  test('lets that many in; the others wait and go in the order they came', async () => {
    await using guest = await loadRust({ maxCalls: 1 })
    const order: number[] = []
    const parked = guest.park()
    const calls = Array.from({ length: 50 }, async (_, index) => {
      expect(await guest.greet(String(index))).toBe(`Hello, ${index}!`)
      order.push(index)
    })
    expect(guest.stats()).toMatchObject({ inFlight: 1, queued: 50, calls: 1 })
    await unpark(side, 1)
    await Promise.all([parked, ...calls])
    expect(order).toEqual(Array.from({ length: 50 }, (_, index) => index))
    expect(guest.stats()).toMatchObject({ inFlight: 0, queued: 0, calls: 51 })
  })

  test('is exact, whatever power of two the rings are rounded to', async () => {
    await using guest = await loadRust({ maxCalls: 3 })
    const parked = Array.from({ length: 5 }, () => guest.park())
    expect(guest.stats()).toMatchObject({ inFlight: 3, queued: 2 })
    await unpark(side, 5)
    await Promise.all(parked)
  })

  test('of 65,536 holds that many calls at once', async () => {
    await using guest = await loadRust({ maxCalls: 65_536 })
    const calls = Array.from({ length: 70_000 }, (_, index) => guest.add(index, 1))
    expect(guest.stats()).toMatchObject({ inFlight: 65_536, queued: 70_000 - 65_536 })
    const sums = await Promise.all(calls)
    expect(sums.every((sum, index) => sum === index + 1)).toBe(true)
  })

  test('with whenFull fail rejects what is beyond it with overloaded, and lets calls in again after', async () => {
    await using guest = await loadRust({ maxCalls: 2, whenFull: 'fail' })
    const parked = [guest.park(), guest.park()]
    await rejection(guest.add(1, 2), 'overloaded', '2 calls', 'maxCalls is 2', "set whenFull to 'wait'")
    await unpark(side, 2)
    await Promise.all(parked)
    expect(await guest.add(1, 2)).toBe(3)
    expect(guest.stats()).toMatchObject({ calls: 3, queued: 0 })
  })
})

describe('maxBytes', () => {
  test('lets so many bytes in, and the rest waits', async () => {
    await using guest = await loadRust({ maxBytes: 10_000 })
    const park = (): Promise<unknown> => guest.call('park')
    const parked = park()
    const first = guest.length(Buffer.alloc(6000))
    const second = guest.length(Buffer.alloc(4000))
    const third = guest.length(Buffer.alloc(1))
    expect(guest.stats()).toMatchObject({ inFlight: 3, queued: 1, bytesInFlight: 10_000 })
    expect(await Promise.all([first, second, third])).toEqual([6000, 4000, 1])
    await unpark(side, 1)
    await parked
    expect(guest.stats()).toMatchObject({ inFlight: 0, bytesInFlight: 0, requestBytes: 10_001 })
  })

  test('lets a larger request go alone: after those before it, and before those behind it', async () => {
    await using guest = await loadRust({ maxBytes: 100 })
    const order: string[] = []
    const call = async (name: string, size: number): Promise<void> => {
      expect(await guest.length(Buffer.alloc(size))).toBe(size)
      order.push(name)
    }
    const parked = guest.park().then(() => order.push('parked'))
    const calls = [call('large', 5000), call('small', 1), call('larger', 500_000), call('last', 0)]
    expect(guest.stats()).toMatchObject({ inFlight: 1, queued: 4 })
    await unpark(side, 1)
    await Promise.all([parked, ...calls])
    expect(order).toEqual(['parked', 'large', 'small', 'larger', 'last'])
  })

  test('counts the bytes of a text, not its characters', async () => {
    await using guest = await loadRust({ maxBytes: 3000, whenFull: 'fail' })
    const parked = guest.park()
    const text = 'é'.repeat(1400)
    const call = guest.echo_value(text)
    expect(guest.stats().bytesInFlight).toBe(2802)
    await rejection(guest.echo_value('é'.repeat(150)), 'overloaded', '2802 bytes', 'maxBytes 3000')
    expect(await call).toBe(text)
    await unpark(side, 1)
    await parked
  })
})

describe('a call that waits', () => {
  test('and is cancelled, or whose deadline passes, never starts', async () => {
    await using guest = await loadRust({ maxCalls: 1 })
    const parked = guest.park()
    const cancel = new AbortController()
    const cancelled = guest.call('fill', [10], { signal: cancel.signal })
    const expired = guest.call('fill', [10], { deadline: Date.now() + 10 })
    const stays = guest.add(1, 2)
    cancel.abort()
    await rejection(cancelled, 'cancelled')
    await rejection(expired, 'deadline')
    expect(await isSettled(stays)).toBe(false)
    await unpark(side, 1)
    await parked
    expect(await stays).toBe(3)
    expect(guest.stats()).toMatchObject({ calls: 2, late: 0, queued: 0 })
  })

  test('and finds its bytes detached by then is rejected, and those behind it go on', async () => {
    await using guest = await loadRust({ maxCalls: 1 })
    const parked = guest.park()
    const buffers = [16, 100_000].map((length) => new Uint8Array(length))
    const calls = buffers.map((bytes) => guest.length(bytes))
    const empty = new Uint8Array(0)
    const nothing = guest.length(empty)
    const behind = guest.add(1, 2)
    for (const { buffer } of [...buffers, empty]) structuredClone(buffer, { transfer: [buffer] })
    const rejected = calls.map((call) => rejection(call, 'invalid-argument', 'detached', 'while the call waited'))
    await unpark(side, 1)
    await Promise.all([parked, ...rejected])
    expect(await nothing).toBe(0)
    expect(await behind).toBe(3)
    expect(guest.stats()).toMatchObject({ inFlight: 0, queued: 0, bytesInFlight: 0 })
  })

  test('finishes before an unload does', async () => {
    const guest = await loadRust({ maxCalls: 1 })
    const parked = guest.park()
    const waiting = guest.add(1, 2)
    const unloading = guest.unload()
    await rejection(guest.add(1, 2), 'unloaded')
    expect(await isSettled(unloading)).toBe(false)
    await unpark(side, 1)
    expect(await waiting).toBe(3)
    await parked
    await unloading
  })
})

describe('a request that the guest keeps', () => {
  test('keeps the place of its call: the next one waits until it is given up', async () => {
    await using guest = await loadRust({ maxCalls: 1 })
    expect(await guest.keep(Buffer.from('kept'))).toBe(4)
    const waiting = guest.add(1, 2)
    expect(guest.stats()).toMatchObject({ inFlight: 0, queued: 1 })
    // The fixture keeps one request in a static, which both runtimes see.
    expect(await side.kept()).toEqual(Buffer.from('kept'))
    expect(await waiting).toBe(3)
  })

  test('says so where calls are refused for it', async () => {
    await using guest = await loadRust({ maxCalls: 1, whenFull: 'fail' })
    await guest.keep(Buffer.from('kept'))
    await rejection(guest.add(1, 2), 'overloaded', 'the guest keeps the requests of 1 more', 'maxCalls is 1')
    await side.kept()
    await until(async () => (await guest.add(1, 2).catch(() => 0)) === 3)
  })

  test('does not leave callers waiting for ever when the runtime is unloaded', async () => {
    const guest = await loadRust({ maxCalls: 1 })
    await guest.keep(Buffer.from('kept'))
    const waiting = guest.add(1, 2)
    const unloading = guest.unload()
    await rejection(waiting, 'unloaded')
    await side.kept()
    await unloading
  })
})
