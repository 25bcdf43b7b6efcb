// SPDX-License-Identifier: Apache-2.0
// What keeps the loop of this thread alive, and why. Nothing else in the package does: processes
// and sockets are unreferenced as soon as they are made, and so are timers, but for deadlines and
// those that end with what is held here.
import { longestTimer } from '../common/timers.ts'
import { native } from './addon.ts'
import { words } from './hub.ts'

/** Why the loop has to live, beside calls in flight. */
export type Reason =
  | 'calls wait and no instance is there to send them'
  | 'a guest process starts'
  | 'a guest process ends'
  | 'a guest on threads is to be ended, and there is no thread for that yet'
  | 'a guest process is to be read to its end'

const reasons = new Map<object, Reason>()
let timer: NodeJS.Timeout | undefined

/**
 * Keeps the loop alive until `release`. Each holder has one reason at a time: a later one replaces
 * the earlier one.
 */
export function hold(holder: object, reason: Reason): void {
  reasons.set(holder, reason)
  timer ??= setInterval(() => {}, longestTimer)
}

/** The holder has no reason any longer. */
export function release(holder: object): void {
  if (!reasons.delete(holder) || reasons.size > 0) return
  clearInterval(timer)
  timer = undefined
}

/**
 * Keeps the loop alive while calls are in flight. Their number is in the block's header, so the
 * add-on lets go by itself, and only the first call after that costs a call into native code.
 */
export function holdForCalls(): void {
  if (words !== undefined && words[0] === 0) native.refLoop()
}
