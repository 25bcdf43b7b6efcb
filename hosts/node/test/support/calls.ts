// SPDX-License-Identifier: Apache-2.0
import { expect } from 'vitest'
import { PolyloopError, type PolyloopErrorCode } from '../../src/common/errors.ts'
import type { RustGuest } from './guests.ts'

/** What a promise rejects with, which must be an error of ours with this code and these words in its message. */
export async function rejection(
  promise: Promise<unknown>,
  code: PolyloopErrorCode,
  ...words: readonly (string | RegExp)[]
): Promise<PolyloopError> {
  const error: unknown = await promise.then(
    (value) => new Error(`it resolved, with ${String(value)}`),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(PolyloopError)
  const ours = error as PolyloopError
  expect(ours).toMatchObject({ name: 'PolyloopError', code })
  for (const word of words) {
    if (typeof word === 'string') expect(ours.message).toContain(word)
    else expect(ours.message).toMatch(word)
  }
  return ours
}

/** The real one, whatever a test puts in its place. */
const pause = setTimeout

/**
 * Turns of the event loop, until a condition holds. The watchdog of the tests ends it otherwise. What lasts longer needs
 * the processors itself: others get them between two looks.
 */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let turns = 0; !(await holds()); turns++) {
    await new Promise<void>((resolve) => void (turns < 100 ? setImmediate(resolve) : pause(resolve, 5)))
  }
}

/** Whether a promise has settled by the next turn of the loop. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const settle = (): void => {
    settled = true
  }
  promise.then(settle, settle)
  await new Promise((resolve) => setImmediate(resolve))
  return settled
}

/** Lets every call parked in the Rust fixture answer; `count` of them are waited for. */
export async function unpark(runtime: RustGuest, count: number): Promise<void> {
  let woken = 0
  await until(async () => {
    woken += (await runtime.unpark()) as number
    return woken >= count
  })
}

/** Has the guest of `lives.py` close its doorbell, and calls it until a call rejects: a loop that is awake needs none. */
export async function callAfterClosing(guest: {
  call(name: string, argument?: unknown): Promise<unknown>
}): Promise<never> {
  await guest.call('close_pipes')
  while (true) await guest.call('echo', [1])
}
