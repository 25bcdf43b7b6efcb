// SPDX-License-Identifier: Apache-2.0
import type { Payload } from '../common/codec.ts'
import { PolyloopError } from '../common/errors.ts'
import type { Manifest } from '../common/manifest.ts'
import { longestTimer } from '../common/timers.ts'
import type { Observer } from '../observe/diagnostics.ts'
import type { Connection } from '../ring/connection.ts'
import type { Context, ContextListener } from '../ring/responses.ts'
import type { RequestStream } from './request-stream.ts'
import { mostAhead, type ResponseStream } from './response-stream.ts'

/** What may be said of one call. */
export interface CallOptions {
  /** Rejects the call with `cancelled` when it aborts; its reason is the cause. */
  readonly signal?: AbortSignal | undefined
  /** When to stop waiting: milliseconds since the epoch, or a Date. The call rejects with `deadline`. */
  readonly deadline?: number | Date | undefined
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

/** What few calls have beside their request. */
export interface CallExtras {
  /** Takes the items of the response stream. */
  readonly responseStream?: ResponseStream | undefined
  /** Feeds the request stream. */
  readonly requestStream?: RequestStream | undefined
  /** JSON of the context. */
  readonly context?: Uint8Array | undefined
  readonly onContext?: ContextListener | undefined
  /** Tells of the call, where somebody listens. */
  readonly observer?: Observer | undefined
}

type Resolve = (value: unknown) => void
type Reject = (error: PolyloopError) => void

/** One call, from its admission to its settlement. Its fields are made in its constructor: V8 inlines that, but not
 * initializers. */
export class Call {
  declare readonly promise: Promise<unknown>
  declare resolve: Resolve
  declare reject: Reject
  declare readonly flags: number
  declare readonly method: number
  /** Kept as long as the guest may read it. */
  declare payload: Payload
  /** Bytes of the payload; of a text, its length until it has a place. */
  declare size: number
  /** Nanoseconds of the monotonic clock, 0 for none. */
  declare deadline: number
  /** Settled before its response: what comes is dropped. */
  declare abandoned: boolean
  /** Detaches it from its signal and its timer; only calls that have one can be abandoned by their caller. */
  declare release: (() => void) | undefined
  /** Told when it is abandoned. */
  declare onAbandon: ((call: Call, error: PolyloopError) => void) | undefined
  /** Its place while it is in flight, -1 before and after. */
  declare slot: number
  /** Whether it counts for the latency. When it began is kept elsewhere: a number of that size would be a box in each. */
  declare readonly timed: boolean
  declare extras: CallExtras | undefined
  /** What its number of the method is from. */
  declare readonly manifest: Manifest | undefined
  /** The instance that it was given to. */
  declare at: Connection | undefined

  constructor(
    method: number,
    flags: number,
    payload: Payload,
    timed = false,
    extras?: CallExtras,
    manifest?: Manifest,
  ) {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.flags = flags
    this.method = method
    this.payload = payload
    this.size = payload === undefined ? 0 : payload.length
    this.deadline = 0
    this.abandoned = false
    this.release = undefined
    this.onAbandon = undefined
    this.slot = -1
    this.timed = timed
    this.extras = extras
    this.manifest = manifest
    this.at = undefined
  }

  /** Settles the promise before the response. */
  abandon(error: PolyloopError): void {
    if (this.abandoned) return
    this.abandoned = true
    this.release?.()
    if (this.onAbandon !== undefined) this.extras?.observer?.cancel(error)
    this.onAbandon?.(this, error)
    this.reject(error)
  }
}

/** Has an observer tell of a call from now on; its trace travels with the call. */
export function begin(call: Call, observer: Observer): void {
  observer.attach(call)
  if (observer.context === undefined) return
  // By name: spreading an object and adding to it takes V8 a microsecond.
  const { responseStream, requestStream } = call.extras ?? {}
  call.extras = {
    responseStream,
    requestStream,
    observer,
    context: beside(undefined, observer.context),
    onContext: undefined,
  }
}

/**
 * Ties a call to its signal and deadline.
 *
 * @throws invalid-argument where an option is not of its type; cancelled or deadline where it is over already
 */
export function limit(call: Call, options: CallOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new PolyloopError(
      'invalid-argument',
      'the options of a call are not an object: pass { signal, deadline, context, ahead }',
    )
  }
  const { signal, deadline, context, onContext, ahead } = options
  if (ahead !== undefined) setAhead(call.extras, ahead)
  if (context !== undefined || onContext !== undefined) {
    call.extras = { ...call.extras, context: encodeContext(context, call.extras?.observer?.context), onContext }
  }
  const until = checkDeadline(deadline)
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

/** Connection by the signal that cancels them: one listener serves all, however many calls share a signal. */
const watched = new WeakMap<AbortSignal, Set<Call>>()

function watch(signal: AbortSignal, call: Call): void {
  const calls = watched.get(signal)
  if (calls !== undefined) {
    calls.add(call)
    return
  }
  watched.set(signal, new Set([call]))
  signal.addEventListener('abort', cancelWatched, { once: true })
}

function unwatch(signal: AbortSignal, call: Call): void {
  const calls = watched.get(signal)
  if (calls === undefined || !calls.delete(call) || calls.size > 0) return
  watched.delete(signal)
  signal.removeEventListener('abort', cancelWatched)
}

function cancelWatched(this: AbortSignal): void {
  const calls = watched.get(this) ?? []
  watched.delete(this)
  for (const call of calls) {
    call.abandon(new PolyloopError('cancelled', 'the call was cancelled', { cause: this.reason }))
  }
}

/** The longest context, in bytes of JSON: the place of a request. */
const longestContext = 4096

/** A context as it travels, if it is not too long. What is undefined in it does not. */
function toBytes(context: Readonly<Record<string, string | undefined>>): Uint8Array | undefined {
  const bytes = Buffer.from(JSON.stringify(context))
  return bytes.length <= longestContext ? bytes : undefined
}

/** A context with a trace beside it. No call fails because of its trace: what is too long of it is left out. */
function beside(context: Context | undefined, trace: Context): Uint8Array | undefined {
  return toBytes(join(trace, context)) ?? toBytes(join({ ...trace, baggage: undefined }, context))
}

function join<T extends Readonly<Record<string, string | undefined>>>(trace: T, context: Context | undefined): T {
  if (context === undefined) return trace
  // The state of a trace belongs to its parent: to the caller's, where there is one.
  return context.traceparent === undefined ? { ...trace, ...context } : { ...trace, tracestate: undefined, ...context }
}

/**
 * Writes a context down.
 *
 * @param trace - what travels beside it
 * @throws invalid-argument where it is not an object of texts; too-large where it is too long
 */
function encodeContext(context: CallOptions['context'], trace: Context | undefined): Uint8Array | undefined {
  if (context === undefined) return trace === undefined ? undefined : beside(undefined, trace)
  if (
    typeof context !== 'object' ||
    context === null ||
    Object.values(context).some((one) => typeof one !== 'string')
  ) {
    throw new PolyloopError('invalid-argument', "context is not an object of texts: pass { name: 'value' }")
  }
  const bytes = (trace === undefined ? undefined : beside(context, trace)) ?? toBytes(context)
  if (bytes !== undefined) return bytes
  const length = Buffer.byteLength(JSON.stringify(context))
  const message = `the context has ${length} bytes of JSON and may have ${longestContext}: send less`
  throw new PolyloopError('too-large', message)
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
