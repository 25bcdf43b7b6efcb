// SPDX-License-Identifier: Apache-2.0
// How processes end, in words.
import type { GuestExit, PolyloopErrorCode } from '../common/errors.ts'
import { refusalOf } from '../common/reasons.ts'

/** Milliseconds after which a process that cannot be ended (it runs a program of another user) is given up. */
export const unkillableAfter = 10_000

/** How a process has ended of which nobody knows it. */
export const unknownExit: GuestExit = { code: null, signal: null, lines: [] }

/** How a process has ended. */
export function howOf({ code, signal }: GuestExit): string {
  if (signal !== null) return `was killed by ${signal}`
  return code === null ? 'cannot be ended' : `exited with code ${code}`
}

/** The code and the message for a program that cannot be run. */
export function unrunnable(
  program: string,
  isMissing: boolean,
  message: string,
): { readonly code: PolyloopErrorCode; readonly message: string } {
  const advice = 'correct the path, or the option python or venv'
  if (isMissing) return { code: 'not-found', message: `there is no program '${program}': ${advice}` }
  const what = `'${program}' cannot be run: ${message}`
  const refusal = refusalOf(message)
  if (refusal === undefined || refusal.code === 'init-failed')
    return { code: 'init-failed', message: `${what}: ${advice}` }
  // The program is not to blame.
  return { code: refusal.code, message: `${what}; ${refusal.advice}` }
}
