// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { PolyloopError } from '../common/errors.ts'
import type { Bounds } from '../common/options.ts'
import { Admission } from './admission.ts'
import { Call } from './call.ts'

const bounds: Bounds = { maxCalls: 2, maxBytes: 100, maxPayload: 1000, whenFull: 'wait' }
const call = (size: number): Call => new Call(0, 0, new Uint8Array(size))

/** Lets a call in as the dispatcher and its connection do. */
function enter(admission: Admission, one: Call): boolean {
  const goes = admission.admit(one)
  if (goes) admission.enter(one)
  return goes
}

/** Lets in the call that may go next. */
function next(admission: Admission): Call | undefined {
  const one = admission.next()
  if (one !== undefined) admission.enter(one)
  return one
}

/** Gives a call that waits up, as the dispatcher does. */
function giveUp(admission: Admission, one: Call): void {
  one.promise.catch(() => undefined)
  one.onAbandon = () => admission.forget(one)
  one.abandon(new PolyloopError('cancelled', 'x'))
}

describe('calls', () => {
  test('go while there is room, and then in the order they came', () => {
    const admission = new Admission(bounds)
    const calls = [1, 2, 3, 4, 5].map(call)
    expect(calls.map((one) => enter(admission, one))).toEqual([true, true, false, false, false])
    expect(admission).toMatchObject({ calls: 2, bytes: 3, waiting: 3 })
    expect(next(admission)).toBeUndefined()
    for (const [index, one] of calls.slice(2).entries()) {
      admission.leave(calls[index] as Call)
      expect(next(admission)).toBe(one)
      expect(next(admission)).toBeUndefined()
    }
    expect(admission.waiting).toBe(0)
  })

  test('do not overtake one that waits, even where they would fit', () => {
    const admission = new Admission({ ...bounds, maxCalls: 10 })
    expect(enter(admission, call(90))).toBe(true)
    expect(enter(admission, call(20))).toBe(false)
    expect(enter(admission, call(1))).toBe(false)
    expect(next(admission)).toBeUndefined()
  })

  test('larger than maxBytes go alone', () => {
    const admission = new Admission({ ...bounds, maxCalls: 10 })
    const [large, small] = [call(500), call(0)]
    expect(enter(admission, large)).toBe(true)
    expect(enter(admission, small)).toBe(false)
    admission.leave(large)
    expect(next(admission)).toBe(small)
    expect(enter(admission, large)).toBe(false)
    admission.leave(small)
    expect(next(admission)).toBe(large)
  })

  test('that were given up while they waited are passed over', () => {
    const admission = new Admission({ ...bounds, maxCalls: 1 })
    const [first, given, last] = [call(1), call(999), call(2)] as const
    enter(admission, first)
    enter(admission, given)
    enter(admission, last)
    giveUp(admission, given)
    expect(admission.waiting).toBe(1)
    admission.leave(first)
    expect(next(admission)).toBe(last)
    expect(admission.waiting).toBe(0)
  })

  test('that were given up while they waited keep nothing, and do not hold others up', () => {
    const admission = new Admission({ ...bounds, maxCalls: 1 })
    const first = call(1)
    enter(admission, first)
    const given = Array.from({ length: 100 }, () => call(50))
    for (const one of given) enter(admission, one)
    for (const one of given) giveUp(admission, one)
    expect(given.every(({ payload }) => payload === undefined)).toBe(true)
    expect(admission).toMatchObject({ waiting: 0, awaited: 1 })
    admission.leave(first)
    expect(enter(admission, call(2))).toBe(true)
    expect(admission.clear()).toEqual([])
  })

  test('that were given up in flight take a place, and nobody waits for them', () => {
    const admission = new Admission({ ...bounds, maxCalls: 1 })
    const first = call(1)
    enter(admission, first)
    first.onAbandon = () => admission.abandon()
    first.promise.catch(() => undefined)
    first.abandon(new PolyloopError('deadline', 'x'))
    expect(admission).toMatchObject({ calls: 1, awaited: 0 })
    admission.leave(first)
    expect(admission).toMatchObject({ calls: 0, awaited: 0 })
  })

  test('beyond maxPayload are too-large, whatever else is in flight', () => {
    const admission = new Admission(bounds)
    expect(() => admission.admit(call(1001))).toThrow(expect.objectContaining({ code: 'too-large' }))
    expect(() => admission.admit(new Call(0, 0, '€'.repeat(334)))).toThrow('the request has 1002 bytes')
    expect(admission).toMatchObject({ calls: 0, bytes: 0, waiting: 0 })
  })

  test('with whenFull fail are overloaded, and leave no trace', () => {
    const admission = new Admission({ ...bounds, whenFull: 'fail', maxCalls: 1 })
    enter(admission, call(7))
    expect(() => admission.admit(call(1))).toThrow(expect.objectContaining({ code: 'overloaded' }))
    expect(admission).toMatchObject({ calls: 1, bytes: 7, waiting: 0 })
  })

  test('whose requests the guest keeps take up places until it gives them up', () => {
    const admission = new Admission({ ...bounds, maxCalls: 1 })
    const kept = call(1)
    enter(admission, kept)
    admission.leave(kept)
    admission.keep()
    const waits = call(1)
    expect(enter(admission, waits)).toBe(false)
    expect(next(admission)).toBeUndefined()
    admission.giveUp()
    expect(next(admission)).toBe(waits)
  })

  test('wait by the hundred thousand, and leave nothing behind', () => {
    const admission = new Admission({ ...bounds, maxCalls: 1 })
    const calls = Array.from({ length: 100_000 }, () => call(0))
    for (const one of calls) enter(admission, one)
    for (const [index, one] of calls.slice(1).entries()) {
      admission.leave(calls[index] as Call)
      if (next(admission) !== one) throw new Error('the order is lost')
    }
    expect(admission).toMatchObject({ calls: 1, waiting: 0 })
  })

  test('that are cleared are those that still wait', () => {
    const admission = new Admission({ ...bounds, maxCalls: 1 })
    const [first, second, third] = [call(1), call(2), call(3)] as const
    for (const one of [first, second, third]) enter(admission, one)
    second.promise.catch(() => undefined)
    second.abandon(new PolyloopError('deadline', 'x'))
    expect(admission.clear()).toEqual([third])
    expect(admission.waiting).toBe(0)
  })
})
