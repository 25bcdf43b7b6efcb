// SPDX-License-Identifier: Apache-2.0
// How processes end, in words.
import type { GuestExit, PolyloopErrorCode } from '../common/errors.ts'
import { refusalOf } from '../common/reasons.ts'
import type { GuestStart } from '../guests/start.ts'
import { howOf } from '../native/guarded-process.ts'

/** Milliseconds after which a process that cannot be ended (it runs a program of another user) is given up. */
export const unkillableAfter = 10_000

/** Milliseconds in which the end of a process is told after it has hung up; one that lives on hears nobody any more. */
export const endsAfterHangUp = 2_000

/**
 * How a process has ended, in words.
 *
 * @param hungUp - whether it had hung up, and was to be killed for that
 */
export function endOf(exit: GuestExit, hungUp: boolean): string {
  // Otherwise it had died, and its guard was slow to say so.
  if (!hungUp || exit.signal !== 'SIGKILL') return howOf(exit)
  return `has hung up (it has closed descriptors that it has not opened, or runs another program) and ${howOf(exit)}`
}

/** How a process has ended of which nobody knows it. */
export const unknownExit: GuestExit = { code: null, signal: null, lines: [] }

/** Why there is no process. */
export interface Refusal {
  readonly code: PolyloopErrorCode
  readonly message: string
}

/** The code and the message for a program that cannot be run. */
export function unrunnable({ command: [program], advice }: GuestStart, isMissing: boolean, message: string): Refusal {
  if (isMissing) return { code: 'not-found', message: `there is no program '${program}': ${advice}` }
  const what = `'${program}' cannot be run: ${message}`
  const refusal = refusalOf(message)
  // Otherwise the program is not to blame.
  if (refusal === undefined || refusal.code === 'init-failed')
    return { code: 'init-failed', message: `${what}: ${advice}` }
  return { code: refusal.code, message: `${what}; ${refusal.advice}` }
}

/** The code and the message for a shared guest that cannot be reached. */
export function unreachable(message: string): Refusal {
  const { code, advice } = refusalOf(message) ?? { code: 'init-failed' }
  const what = `the shared guest cannot be reached: ${message}`
  return { code, message: advice === undefined ? what : `${what}; ${advice}` }
}
