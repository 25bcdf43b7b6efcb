// SPDX-License-Identifier: Apache-2.0
// How long callers wait for a start or an end.
import { abortReason, offAbort, onAbort, toSignal } from '../common/abort.ts'
import { PolyloopError } from '../common/errors.ts'
import { integer, readOptions } from '../common/option-readers.ts'
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
  const timeout = readOptions('unload', { timeout: true }, options, (given) => given.timeout)
  return timeout === undefined ? undefined : integer(0, longestTimer)(timeout, 'timeout')
}

/** Options of `reload`. */
export interface ReloadOptions {
  /**
   * Milliseconds after which `reload` rejects with `deadline`, and what it has started is ended, unless others wait for
   * it: the old code goes on. Not bounded by default.
   */
  readonly timeout?: number | undefined
  /** Has `reload` reject with `cancelled` when it aborts, with the same effect. */
  readonly signal?: AbortSignal | undefined
}

/** @throws invalid-argument */
export function reloadPatience(options: ReloadOptions = {}): Patience {
  const { timeout, signal } = readOptions('reload', { timeout: true, signal: true }, options, (given) => {
    const { timeout, signal } = given
    return { timeout, signal }
  })
  return {
    for: 'reload',
    timeout: timeout === undefined ? 0 : integer(0, longestTimer)(timeout, 'timeout'),
    signal: signal === undefined ? undefined : toSignal(signal),
    since: performance.now(),
  }
}

/** What callers wait for until it has started: a runtime, or its new code. */
export interface Starting {
  readonly name: string
  /** How many wait. */
  waiters: number
  /** Nobody waits any more: ends what was started. */
  abandonStart(error: PolyloopError): void
}

/** How long a caller waits for a start. */
export interface Patience extends Pick<Settings, 'timeout' | 'signal'> {
  readonly for: 'load' | 'reload'
  /** From when on, as `performance.now()` has it: what had to end before counts, too. */
  readonly since: number
}

/**
 * What a caller gets of a start: the outcome, or the caller's own timeout or signal. The last one to give the start up
 * ends it.
 *
 * @throws deadline, cancelled
 */
export function startWithin<T>(start: Promise<T>, starting: Starting, patience: Patience): Promise<T> {
  const { timeout, signal, since } = patience
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
    const abort = (): void => giveUp(cancelled(starting.name, patience))
    const expire = (): void => giveUp(overdue(starting.name, patience))
    if (timeout > 0) timer = setTimeout(expire, Math.max(0, timeout - (performance.now() - since)))
    if (signal !== undefined) onAbort(signal, abort)
    start.finally(stop).then(resolve, reject)
  })
}

/** The error of a load, or a reload, whose signal has aborted. */
export function cancelled(name: string, { for: what, signal }: Patience): PolyloopError {
  const advice = what === 'load' ? 'load it again to have it' : 'the old code goes on until it is reloaded again'
  const message = `the ${what} of ${name} was cancelled by its signal: ${advice}`
  return new PolyloopError('cancelled', message, { cause: abortReason(signal as AbortSignal) })
}

function overdue(name: string, { for: what, timeout }: Patience): PolyloopError {
  const happened = what === 'load' ? 'started' : 'been reloaded'
  const advice = 'its import or init takes longer, or hangs: give it more time, or see what it waits for'
  return new PolyloopError('deadline', `${name} has not ${happened} within ${timeout} ms: ${advice}`)
}
