// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Instance } from './instance.ts'
import { Berth } from './replica.ts'

const policy = { attempts: 5, minDelay: 100, maxDelay: 300, resetAfter: 10_000 }
const ready = { state: 'ready' } as unknown as Instance

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** Milliseconds until it starts the next instance. */
function delayOf(berth: Berth): number {
  const from = Date.now()
  let started = -1
  expect(berth.restart(() => (started = Date.now()))).toBe(true)
  expect(berth.isManned).toBe(true)
  vi.runAllTimers()
  return started - from
}

test('waits longer after each death in a row, up to the longest delay, and gives up after as many as it may', () => {
  const berth = new Berth(0, policy)
  expect([1, 2, 3, 4, 5].map(() => delayOf(berth))).toEqual([0, 100, 200, 300, 300])
  expect(berth.restart(() => {})).toBe(false)
  expect(berth).toMatchObject({ deaths: 6, isManned: false })
})

test('forgets earlier deaths once an instance has lived for long enough', () => {
  const berth = new Berth(0, policy)
  delayOf(berth)
  berth.settle(ready)
  vi.advanceTimersByTime(policy.resetAfter - 1)
  expect(delayOf(berth), 'it did not').toBe(100)
  berth.settle(ready)
  vi.advanceTimersByTime(policy.resetAfter)
  expect(delayOf(berth)).toBe(0)
})

test('starts nothing any more after it was stopped or forgiven', () => {
  const berth = new Berth(0, policy)
  for (const end of [() => berth.stop(), () => berth.forgive()]) {
    delayOf(berth)
    const start = vi.fn()
    berth.restart(start)
    end()
    vi.runAllTimers()
    expect(start).not.toHaveBeenCalled()
    expect(berth.isManned).toBe(false)
  }
  expect(berth.deaths).toBe(0)
})

test('says in whose place an instance comes, and forgets where the earlier one had strayed to', () => {
  const berth = new Berth(3, policy)
  expect(berth.settle(ready)).toBeUndefined()
  berth.strayed = ready
  const next = { state: 'starting' } as unknown as Instance
  expect(berth.settle(next)).toBe(ready)
  expect(berth).toMatchObject({ index: 3, instance: next, strayed: undefined, isManned: true })
  expect(berth.settle(next), 'itself').toBeUndefined()
})
