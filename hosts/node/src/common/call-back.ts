// SPDX-License-Identifier: Apache-2.0
// The boundary to code of others: whatever a caller passes in. It may throw, at once or later, return anything, and
// call us again. All of it is called through here, so that none of it stops what of ours is under way.
import { PolyloopError } from './errors.ts'
import { isOurs, reasonOf } from './reasons.ts'

/** Tells a function of the caller's. What it throws is an uncaught exception of its own: what calls it goes on. */
export function callBack(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    process.nextTick(() => {
      throw error
    })
  }
}

/**
 * Calls a function of the caller's when nothing of ours is under way: it may call us again. Nobody waits for it, and what
 * it throws or rejects with is not told.
 */
export function callAside(run: () => unknown): void {
  Promise.resolve()
    .then(run)
    .catch(() => {})
}

/**
 * Reads what a caller has passed: getters, proxies and `toJSON` may throw.
 *
 * @param what - the noun for the message
 * @throws invalid-argument, with what was thrown as its cause
 */
export function readFrom<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (isOurs(cause)) throw cause
    throw new PolyloopError('invalid-argument', `${what} cannot be read: ${reasonOf(cause)}`, { cause })
  }
}
