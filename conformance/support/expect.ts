// SPDX-License-Identifier: Apache-2.0
// What cases and claims assert.
import { isDeepStrictEqual } from 'node:util'
import { PolyloopError, type PolyloopErrorCode } from 'polyloop'
import { expect } from 'vitest'
import type { ExpectedError } from './cases.ts'
import { read } from './values.ts'

/** Holds a value to what was expected. Long bytes are compared at once, and not shown. */
export function same(actual: unknown, expected: unknown): void {
  if (expected instanceof Uint8Array && expected.length > 64) {
    expect(Buffer.isBuffer(actual)).toBe(true)
    expect((actual as Buffer).length).toBe(expected.length)
    expect((actual as Buffer).equals(expected), 'the bytes are those that were expected').toBe(true)
  } else if (typeof expected === 'string' && expected.length > 1000) {
    expect(actual === expected, 'the text is the one that was expected').toBe(true)
  } else {
    if (expected instanceof Uint8Array) expect(Buffer.isBuffer(actual)).toBe(true)
    const [one, other] = [plain(actual), plain(expected)]
    if (!isDeepStrictEqual(one, other)) expect(one).toStrictEqual(other)
  }
}

/** The same with bytes of any kind as one kind: those within values are as the codec has them. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

/** What a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<PolyloopError> {
  const error: unknown = await promise.then(
    (value) => new Error(`it resolved, with ${String(value)}`),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(PolyloopError)
  return error as PolyloopError
}

/** What a promise rejects with, which must have this code, and these words in its message. */
export async function rejection(
  promise: Promise<unknown>,
  code: PolyloopErrorCode,
  ...words: readonly string[]
): Promise<PolyloopError> {
  const error = await failure(promise)
  matches(error, { code, ...(words.length > 0 && { message: words }) })
  return error
}

/** Holds an error to what a case says of it. */
export function matches(error: unknown, expected: ExpectedError): void {
  const { code, message = [], rc, guest, stack = [], cause } = expected
  const actual = error as PolyloopError
  expect(actual).toBeInstanceOf(Error)
  // The message shows what is wrong if the code is.
  if (code !== undefined) expect({ code: actual.code, message: actual.message }).toMatchObject({ code })
  for (const words of message) expect(actual.message).toContain(words)
  if (rc !== undefined) expect(actual.rc).toBe(rc)
  for (const [key, value] of Object.entries(guest ?? {})) {
    same(actual.guest?.[key as keyof typeof actual.guest], read(value))
  }
  for (const words of stack) expect(actual.stack).toContain(words)
  if (cause !== undefined) matches(actual.cause, cause)
}

/** Aborted when the test that runs is over, or has taken too long. */
let watchdog: AbortSignal | undefined

/** Ends whatever `until` waits for by this signal. */
export function watchBy(signal: AbortSignal): void {
  watchdog = signal
}

/** Turns of the event loop, until a condition holds. The watchdog of the tests ends it otherwise. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const signal = watchdog
  while (!(await holds())) {
    signal?.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
