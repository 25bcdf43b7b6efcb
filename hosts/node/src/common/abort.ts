// SPDX-License-Identifier: Apache-2.0
// AbortSignals of callers, by the functions of Node.js itself: what a caller has put over them is not called.
import { types } from 'node:util'
import { PolyloopError } from './errors.ts'

const { addEventListener, removeEventListener } = EventTarget.prototype

function getter<T>(name: 'aborted' | 'reason'): (signal: AbortSignal) => T {
  const get = Object.getOwnPropertyDescriptor(AbortSignal.prototype, name)?.get as (this: AbortSignal) => T
  return (signal) => get.call(signal)
}

/** Whether a signal has aborted. */
export const isAborted: (signal: AbortSignal) => boolean = getter('aborted')
/** What a signal was aborted with. */
export const abortReason: (signal: AbortSignal) => unknown = getter('reason')

/** Has a listener told of the abort, once; `this` is the signal. */
export function onAbort(signal: AbortSignal, listener: (this: AbortSignal) => void): void {
  addEventListener.call(signal, 'abort', listener, { once: true })
}

export function offAbort(signal: AbortSignal, listener: (this: AbortSignal) => void): void {
  removeEventListener.call(signal, 'abort', listener)
}

/** @throws invalid-argument if it is no AbortSignal of Node.js: a proxy of one, or what only looks like one, is none */
export function toSignal(signal: unknown): AbortSignal {
  try {
    // Behind a proxy it is another object than the one that hears of the abort.
    if (!types.isProxy(signal) && typeof isAborted(signal as AbortSignal) === 'boolean') return signal as AbortSignal
  } catch {
    // Node.js knows its own.
  }
  throw new PolyloopError('invalid-argument', 'signal is not an AbortSignal: pass new AbortController().signal')
}
