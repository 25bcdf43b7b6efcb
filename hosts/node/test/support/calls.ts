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

/** Turns of the event loop, until a condition holds. The watchdog of the tests ends it otherwise. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve))
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
