// SPDX-License-Identifier: Apache-2.0
import { types } from 'node:util'
import { abortReason, isAborted, offAbort, onAbort, toSignal } from '../common/abort.ts'
import { readFrom } from '../common/call-back.ts'
import { PolyloopError } from '../common/errors.ts'
import { readOptions } from '../common/option-readers.ts'
import { longestTimer } from '../common/timers.ts'
import type { Call, CallExtras } from './call.ts'
import { type Context, type ContextListener, encodeContext } from './context.ts'
import { mostAhead } from './response-stream.ts'

/** What may be said of one call. */
export interface CallOptions {
  /** Rejects the call with `cancelled` when it aborts; its reason is the cause. */
  readonly signal?: AbortSignal | undefined
  /** When to stop waiting: milliseconds since the epoch, or a Date. The call rejects with `deadline`. */
  readonly deadline?: number | Date | undefined
  /** Milliseconds after which the call rejects with `deadline`: a deadline that is counted from the call. */
  readonly timeout?: number | undefined
  /** Small texts that travel with the call (a trace, say) and that the guest can read: 4,096 bytes as JSON at most. */
  readonly context?: Context | undefined
  /**
   * Items that may be sent ahead of the reader of a stream, in either direction: 1 to 256. Fewer keep a producer from
   * making what nobody may want; more let it go on while the reader is busy. By default 256 of a response stream, 64 of
   * a request stream.
   */
  readonly ahead?: number | undefined
  /** Told the context that the guest sent with its answer, just before the call settles. */
  readonly onContext?: ContextListener | undefined
}

const callOptions: Record<keyof CallOptions, true> = {
  signal: true,
  deadline: true,
  timeout: true,
  context: true,
  ahead: true,
  onContext: true,
}

/**
 * Ties a call to its signal and deadline.
 *
 * @throws invalid-argument if an option is not of its type; cancelled or deadline if it is over already
 */
export function limit(call: Call, options: CallOptions): void {
  const { signal, deadline, timeout, context, onContext, ahead } = readOptions(
    'a call',
    callOptions,
    options,
    (given) => {
      const { signal, deadline, timeout, context, onContext, ahead } = given
      return { signal, deadline, timeout, context, onContext, ahead }
    },
  )
  if (ahead !== undefined) setAhead(call.extras, ahead)
  if (onContext !== undefined && typeof onContext !== 'function') {
    throw new PolyloopError('invalid-argument', 'onContext is not a function: pass (context) => {}')
  }
  if (context !== undefined || onContext !== undefined) {
    call.extras = { ...call.extras, context: encodeContext(context, call.extras?.observer?.context), onContext }
  }
  const until = earlier(checkDeadline(deadline), checkTimeout(timeout))
  checkSignal(signal)
  const expire = (): void => call.abandon(new PolyloopError('deadline', 'the deadline of the call has passed'))
  if (signal !== undefined) watch(signal, call)
  let timer: NodeJS.Timeout | undefined
  if (until !== undefined) {
    const left = until - Date.now()
    call.deadline = Number(process.hrtime.bigint()) + left * 1e6
    if (left <= longestTimer) timer = setTimeout(expire, Math.max(left, 0))
  }
  call.release = () => {
    if (signal !== undefined) unwatch(signal, call)
    clearTimeout(timer)
    call.release = undefined
  }
}

/** Options with a timeout that every call has, unless they say another, or a deadline. 0: none. */
export function withTimeout(options: CallOptions | undefined, timeout: number): CallOptions | undefined {
  if (timeout === 0) return options
  if (options === undefined) return { timeout }
  if (typeof options !== 'object' || options === null) return options
  return readFrom('an option of the call', () =>
    options.timeout === undefined && options.deadline === undefined ? { ...options, timeout } : options,
  )
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return Math.min(one, other)
}

/** When a timeout will have passed. */
function checkTimeout(timeout: unknown): number | undefined {
  if (timeout === undefined) return undefined
  if (typeof timeout !== 'number' || !Number.isFinite(timeout) || timeout <= 0) {
    throw new PolyloopError('invalid-argument', 'timeout is not a number of milliseconds, more than 0, such as 50')
  }
  return Date.now() + timeout
}

function setAhead(extras: CallExtras | undefined, ahead: number): void {
  if (!Number.isInteger(ahead) || ahead < 1 || ahead > mostAhead) {
    throw new PolyloopError('invalid-argument', `ahead is a number of items from 1 to ${mostAhead}`)
  }
  const { requestStream, responseStream } = extras ?? {}
  if (requestStream === undefined && responseStream === undefined) {
    throw new PolyloopError(
      'invalid-argument',
      'ahead is about streams, and the call has none: use stream() or duplex()',
    )
  }
  if (requestStream !== undefined) requestStream.ahead = ahead
  if (responseStream !== undefined) responseStream.ahead = ahead
}

/** Calls by the signal that cancels them: one listener serves all, however many calls share a signal. */
const watched = new WeakMap<AbortSignal, Set<Call>>()

function watch(signal: AbortSignal, call: Call): void {
  const calls = watched.get(signal)
  if (calls !== undefined) {
    calls.add(call)
    return
  }
  watched.set(signal, new Set([call]))
  onAbort(signal, cancelWatched)
}

function unwatch(signal: AbortSignal, call: Call): void {
  const calls = watched.get(signal)
  if (calls === undefined || !calls.delete(call) || calls.size > 0) return
  watched.delete(signal)
  offAbort(signal, cancelWatched)
}

function cancelWatched(this: AbortSignal): void {
  const calls = watched.get(this) ?? []
  watched.delete(this)
  for (const call of calls) {
    call.abandon(new PolyloopError('cancelled', 'the call was cancelled', { cause: abortReason(this) }))
  }
}

function checkSignal(signal: unknown): void {
  if (signal === undefined) return
  const own = toSignal(signal)
  if (isAborted(own)) {
    throw new PolyloopError('cancelled', 'the signal had aborted before the call', { cause: abortReason(own) })
  }
}

/** Milliseconds since the epoch that nobody means by a time: of 1973. What is less is how long something may take. */
const leastTime = 1e11

function checkDeadline(deadline: unknown): number | undefined {
  if (deadline === undefined) return undefined
  const until = types.isDate(deadline) ? Date.prototype.getTime.call(deadline) : deadline
  if (typeof until !== 'number' || !Number.isFinite(until)) {
    const message = 'deadline is not a time: pass a Date or milliseconds since the epoch, such as Date.now() + 50'
    throw new PolyloopError('invalid-argument', message)
  }
  if (until <= Date.now()) {
    const advice =
      until < leastTime ? `: it is a point in time, not how long the call may take: Date.now() + ${until}` : ''
    throw new PolyloopError('deadline', `the deadline had passed before the call${advice}`)
  }
  return until
}
