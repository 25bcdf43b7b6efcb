// SPDX-License-Identifier: Apache-2.0
import type { Payload } from './codec.ts'
import { PolyloopError } from './errors.ts'

/** What may be said of one call. */
export interface CallOptions {
  /** Rejects the call with `cancelled` when it aborts; its reason is the cause. */
  readonly signal?: AbortSignal | undefined
  /** When to stop waiting: milliseconds since the epoch, or a Date. The call rejects with `deadline`. */
  readonly deadline?: number | Date | undefined
}

type Resolve = (value: unknown) => void
type Reject = (error: PolyloopError) => void

/** One call, from its admission to its settlement. */
export class Task {
  readonly promise: Promise<unknown>
  resolve!: Resolve
  reject!: Reject
  readonly flags: number
  readonly method: number
  /** Kept as long as the guest may read it. */
  payload: Payload
  /** Bytes of the payload; of a text, its length until it has a place. */
  size: number
  /** Nanoseconds of the monotonic clock, 0 for none. */
  deadline = 0
  /** Settled before its response: what comes is dropped. */
  abandoned = false
  /** Detaches it from its signal and its timer; only tasks that have one can be abandoned by their caller. */
  release: (() => void) | undefined = undefined
  /** Told when it is abandoned. */
  onAbandon: (() => void) | undefined = undefined

  constructor(method: number, flags: number, payload: Payload) {
    this.method = method
    this.flags = flags
    this.payload = payload
    this.size = payload === undefined ? 0 : payload.length
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  /** Settles the promise before the response. */
  abandon(error: PolyloopError): void {
    this.abandoned = true
    this.release?.()
    this.onAbandon?.()
    this.reject(error)
  }
}

/** Longest delay of a timer, in milliseconds: 2^31 - 1, or 24 days. Nobody waits longer for a call. */
const longestTimer = 0x7fff_ffff

/**
 * Ties a task to its signal and deadline.
 *
 * @throws invalid-argument where an option is not of its type; cancelled or deadline where it is over already
 */
export function limit(task: Task, options: CallOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new PolyloopError('invalid-argument', 'the options of a call are not an object: pass { signal, deadline }')
  }
  const { signal, deadline } = options
  const until = checkDeadline(deadline)
  checkSignal(signal)
  const expire = (): void => task.abandon(new PolyloopError('deadline', 'the deadline of the call has passed'))
  if (signal !== undefined) watch(signal, task)
  let timer: NodeJS.Timeout | undefined
  if (until !== undefined) {
    const left = until - Date.now()
    task.deadline = Number(process.hrtime.bigint()) + left * 1e6
    if (left <= longestTimer) timer = setTimeout(expire, Math.max(left, 0))
  }
  task.release = () => {
    if (signal !== undefined) unwatch(signal, task)
    clearTimeout(timer)
    task.release = undefined
  }
}

/** Tasks by the signal that cancels them: one listener serves all, however many calls share a signal. */
const watched = new WeakMap<AbortSignal, Set<Task>>()

function watch(signal: AbortSignal, task: Task): void {
  const tasks = watched.get(signal)
  if (tasks !== undefined) {
    tasks.add(task)
    return
  }
  watched.set(signal, new Set([task]))
  signal.addEventListener('abort', cancelWatched, { once: true })
}

function unwatch(signal: AbortSignal, task: Task): void {
  const tasks = watched.get(signal)
  if (tasks === undefined || !tasks.delete(task) || tasks.size > 0) return
  watched.delete(signal)
  signal.removeEventListener('abort', cancelWatched)
}

function cancelWatched(this: AbortSignal): void {
  const tasks = watched.get(this) ?? []
  watched.delete(this)
  for (const task of tasks) {
    task.abandon(new PolyloopError('cancelled', 'the call was cancelled', { cause: this.reason }))
  }
}

function checkSignal(signal: unknown): void {
  if (signal === undefined) return
  if (!(signal instanceof AbortSignal)) {
    throw new PolyloopError('invalid-argument', 'signal is not an AbortSignal: pass new AbortController().signal')
  }
  if (signal.aborted) {
    throw new PolyloopError('cancelled', 'the signal had aborted before the call', { cause: signal.reason })
  }
}

function checkDeadline(deadline: unknown): number | undefined {
  if (deadline === undefined) return undefined
  const until = deadline instanceof Date ? deadline.getTime() : deadline
  if (typeof until !== 'number' || !Number.isFinite(until)) {
    const message = 'deadline is not a time: pass a Date or milliseconds since the epoch, such as Date.now() + 50'
    throw new PolyloopError('invalid-argument', message)
  }
  if (until <= Date.now()) throw new PolyloopError('deadline', 'the deadline had passed before the call')
  return until
}
