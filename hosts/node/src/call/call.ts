// SPDX-License-Identifier: Apache-2.0
import type { Payload } from '../common/codec.ts'
import type { PolyloopError } from '../common/errors.ts'
import type { Manifest } from '../common/manifest.ts'
import type { Observer } from '../observe/diagnostics.ts'
import { beside, type ContextListener } from './context.ts'
import type { RequestStream } from './request-stream.ts'
import type { ResponseStream } from './response-stream.ts'

/** Where the dispatcher gives calls: the connection to one instance. */
export interface CallTarget {
  /** Calls in flight, those that were abandoned included. */
  readonly calls: number
  /** How often the guest was asleep and was woken. */
  readonly doorbells: number
  /** Sends a call that was let in; what cannot be sent is rejected. */
  submit(call: Call): void
  /** The caller of a call in flight has given the call up. */
  abandon(call: Call): void
  /** Gives items that were read back to the guest as credit, if the call is still under way. */
  credit(call: Call, items: number, bytes: number): void
  /** Tells the hub how many calls keep the loop alive. */
  publish(): void
  /** Calls in flight that were not abandoned. */
  awaited(): readonly Call[]
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
  /** Tells of the call, if somebody listens. */
  readonly observer?: Observer | undefined
}

type Resolve = (value: unknown) => void
type Reject = (error: PolyloopError) => void

/** One call, from its admission to its settlement. Its fields are made in its constructor: V8 inlines that, but not
 * initializers. */
export class Call {
  declare readonly promise: Promise<unknown>
  /** Of the promise: {@link succeed} and {@link fail} use it. */
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
  declare at: CallTarget | undefined

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

  /** Resolves the promise. */
  succeed(value: unknown): void {
    this.resolve(value)
    if (this.extras !== undefined) this.extras.observer?.settled()
  }

  /** Rejects the promise. */
  fail(error: PolyloopError): void {
    this.reject(error)
    if (this.extras !== undefined) this.extras.observer?.failed(error)
  }

  /** Rejects the promise before the response. */
  abandon(error: PolyloopError): void {
    if (this.abandoned) return
    this.abandoned = true
    this.release?.()
    if (this.onAbandon !== undefined) this.extras?.observer?.cancelled(error)
    this.onAbandon?.(this, error)
    this.fail(error)
  }
}

/** Has an observer tell of a call from now on; its trace travels with the call. */
export function begin(call: Call, observer: Observer): void {
  observer.encoded(bytesOf(call.payload))
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

/** Bytes of a payload. A text has its bytes counted: it may not have a place yet. */
function bytesOf(payload: Payload): number {
  if (payload === undefined) return 0
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length
}
