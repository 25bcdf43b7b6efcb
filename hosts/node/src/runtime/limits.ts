// SPDX-License-Identifier: Apache-2.0
// How long callers wait for a start or an end.
import { abortReason, offAbort, onAbort } from '../common/abort.ts'
import { readFrom } from '../common/call-back.ts'
import { PolyloopError } from '../common/errors.ts'
import { integer } from '../common/option-readers.ts'
import type { Settings } from '../common/options.ts'
import { longestTimer } from '../common/timers.ts'

/** Options of `unload`. */
export interface UnloadOptions {
  /**
   * Milliseconds after which calls that have not ended reject with `unloaded`, and a guest in a process of its own is
   * killed. Not bounded by default: calls that somebody waits for are waited for.
   */
  readonly timeout?: number | undefined
}

/** @throws invalid-argument */
export function unloadTimeout(options: UnloadOptions | undefined): number | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null) {
    throw new PolyloopError('invalid-argument', 'the options of unload are not an object: pass { timeout }')
  }
  const timeout = readFrom('the options of unload', () => options.timeout)
  return timeout === undefined ? undefined : integer(0, longestTimer)(timeout, 'timeout')
}

/** A runtime that callers wait for until it has started. */
export interface Starting {
  readonly name: string
  /** How many wait. */
  waiters: number
  /** Nobody waits any more: ends what was started. */
  abandonStart(error: PolyloopError): void
}

/** How long a caller waits for a start. */
export interface Patience extends Pick<Settings, 'timeout' | 'signal' | 'onEvent'> {
  /** From when on, as `performance.now()` has it: what had to end before counts, too. */
  readonly since: number
}

/**
 * What a caller gets of a start: the outcome, or the caller's own timeout or signal. The last one to give the start up
 * ends it.
 *
 * @throws deadline, cancelled
 */
export function startWithin<T>(
  start: Promise<T>,
  starting: Starting,
  { timeout, signal, since }: Patience,
): Promise<T> {
  starting.waiters++
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    let waits = true
    const stop = (): void => {
      if (!waits) return
      waits = false
      clearTimeout(timer)
      if (signal !== undefined) offAbort(signal, abort)
      starting.waiters--
    }
    const giveUp = (error: PolyloopError): void => {
      stop()
      reject(error)
      if (starting.waiters === 0) starting.abandonStart(error)
    }
    const abort = (): void => giveUp(cancelled(starting.name, signal as AbortSignal))
    const expire = (): void => {
      const advice = 'its import or init takes longer, or hangs: give it more time, or see what it waits for'
      giveUp(new PolyloopError('deadline', `${starting.name} has not started within ${timeout} ms: ${advice}`))
    }
    if (timeout > 0) timer = setTimeout(expire, Math.max(0, timeout - (performance.now() - since)))
    if (signal !== undefined) onAbort(signal, abort)
    start.finally(stop).then(resolve, reject)
  })
}

/** The error of a load whose signal has aborted. */
export function cancelled(name: string, signal: AbortSignal): PolyloopError {
  return new PolyloopError('cancelled', `the load of ${name} was cancelled`, { cause: abortReason(signal) })
}
