// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Instance } from './instance.ts'
import { Replica } from './replica.ts'

const policy = { attempts: 5, minDelay: 100, maxDelay: 300, resetAfter: 10_000, timeout: 0 }
const ready = { state: 'ready' } as unknown as Instance

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** Milliseconds until it starts the next instance. */
function delayOf(replica: Replica): number {
  const from = Date.now()
  let started = -1
  expect(replica.restart(() => (started = Date.now()))).toBe(true)
  expect(replica.isOccupied).toBe(true)
  vi.runAllTimers()
  return started - from
}

test('waits longer after each death in a row, up to the longest delay, and gives up after as many as it may', () => {
  const replica = new Replica(0, policy)
  expect([1, 2, 3, 4, 5].map(() => delayOf(replica))).toEqual([0, 100, 200, 300, 300])
  expect(replica.restart(() => {})).toBe(false)
  expect(replica).toMatchObject({ deaths: 6, isOccupied: false })
})

test('forgets earlier deaths once an instance has lived for long enough', () => {
  const replica = new Replica(0, policy)
  delayOf(replica)
  replica.settle(ready)
  vi.advanceTimersByTime(policy.resetAfter - 1)
  expect(delayOf(replica), 'it did not').toBe(100)
  replica.settle(ready)
  vi.advanceTimersByTime(policy.resetAfter)
  expect(delayOf(replica)).toBe(0)
})

test('starts nothing any more after it was stopped or forgiven', () => {
  const replica = new Replica(0, policy)
  for (const end of [() => replica.stop(), () => replica.forgive()]) {
    delayOf(replica)
    const start = vi.fn()
    replica.restart(start)
    end()
    vi.runAllTimers()
    expect(start).not.toHaveBeenCalled()
    expect(replica.isOccupied).toBe(false)
  }
  expect(replica.deaths).toBe(0)
})

test('says in whose place an instance comes, and forgets which one was left behind', () => {
  const replica = new Replica(3, policy)
  expect(replica.settle(ready)).toBeUndefined()
  replica.leftBehind = ready
  const next = { state: 'starting' } as unknown as Instance
  expect(replica.settle(next)).toBe(ready)
  expect(replica).toMatchObject({ index: 3, serving: next, leftBehind: undefined })
})

test('is occupied while an instance starts, waits for its time, or serves', async () => {
  const replica = new Replica(0, policy)
  const seen = await replica.whileStarting(() => Promise.resolve(replica.isOccupied))
  expect([seen, replica.isOccupied]).toEqual([true, false])
  await expect(replica.whileStarting(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(replica.isOccupied).toBe(false)
  replica.settle(ready)
  expect(replica.isOccupied).toBe(true)
})

test('bounds every start but the first: by the option, by a minute, or by three times what the first one took', async () => {
  const timeouts = async (timeout: number, first: number): Promise<number[]> => {
    const replica = new Replica(0, { ...policy, timeout })
    const before = replica.startTimeout
    await replica.whileStarting(async () => vi.advanceTimersByTime(first))
    await replica.whileStarting(async () => vi.advanceTimersByTime(100 * first))
    return [before, replica.startTimeout]
  }
  const none = Number.POSITIVE_INFINITY
  expect(await timeouts(0, 1000)).toEqual([none, 60_000])
  expect(await timeouts(0, 50_000)).toEqual([none, 150_000])
  expect(await timeouts(70, 50_000)).toEqual([none, 70])
  expect(await timeouts(none, 1)).toEqual([none, none])
})
