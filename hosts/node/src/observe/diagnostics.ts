// SPDX-License-Identifier: Apache-2.0
// What happens to calls and instances, for whoever subscribes to the channels of node:diagnostics_channel.
import { channel } from 'node:diagnostics_channel'
import type { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import type { Settings } from '../common/options.ts'
import { reasonOf } from '../common/reasons.ts'
import type { CallTimes } from './counters.ts'
import { isTracing, Trace } from './tracing.ts'

/**
 * What the subscribers of the channels `polyloop:call:*` are told of a call: one object in all its messages, which knows
 * more from stop to stop. It may be a key of a WeakMap; copy what is to be kept as it is.
 */
export interface CallMessage {
  /** Numbers the calls of this thread that somebody was told of. */
  readonly id: number
  /** The locator that the runtime was loaded with. */
  readonly runtime: string
  /** Tells runtimes with the same locator apart: the label `id` in `metrics()`. */
  readonly runtimeId: number
  readonly method: string
  /** Whether the response is a stream. */
  readonly stream: boolean
  /** From `encode` on: bytes of the request, without the items of a stream. */
  readonly requestBytes: number | undefined
  /** From `queue` on: calls that waited then, this one too. */
  readonly queued: number | undefined
  /** From `submit` on: whether the guest slept and was woken. */
  readonly doorbell: boolean | undefined
  /** From `response` on: bytes of the response, without the items of a stream. */
  readonly responseBytes: number | undefined
  /** From `response` on: whether it came after the call was given up. */
  readonly late: boolean | undefined
  /** From `response` on, if the call is timed (the option `sample`): milliseconds until a guest thread took it. */
  readonly waited: number | undefined
  /** Likewise: milliseconds from then until the response was here. */
  readonly ran: number | undefined
  /** From `cancel` or `error` on: what it rejects with. */
  readonly error: unknown
}

/** What the subscriber of the channel `polyloop:instance` is told: what `onEvent` is, and of which runtime. */
export interface InstanceMessage extends RuntimeEvent {
  readonly runtime: string
  readonly runtimeId: number
}

/** Stop 1: a function was called. */
const started = channel('polyloop:call:start')
/** Stop 2: its arguments are bytes, or text. */
const encoded = channel('polyloop:call:encode')
/** Stop 3, if the bounds do not let it in yet. */
const queued = channel('polyloop:call:queue')
/** Stops 3 to 5: it was let in, stands in the submission ring, and the guest is awake. */
const submitted = channel('polyloop:call:submit')
/** Stops 7 and 8: the response was drained. Told also if nobody waits for it any more. */
const answered = channel('polyloop:call:response')
/** Stop 9, its good end: the promise resolves, or the stream has ended. */
const settled = channel('polyloop:call:settle')
/** Its other end: the promise or the stream rejects. It may never have been sent. */
const failed = channel('polyloop:call:error')
/** It is given up before its response: by its signal, its deadline, its reader. The guest hears it, and `error` follows. */
const cancelled = channel('polyloop:call:cancel')
/** An instance of a runtime starts, is ready, dies. */
const instances = channel('polyloop:instance')

function isObserved(): boolean {
  return (
    settled.hasSubscribers ||
    failed.hasSubscribers ||
    started.hasSubscribers ||
    encoded.hasSubscribers ||
    queued.hasSubscribers ||
    submitted.hasSubscribers ||
    answered.hasSubscribers ||
    cancelled.hasSubscribers
  )
}

/** The runtime of an observed call. */
interface Observed {
  readonly id: number
  readonly name: string
  readonly settings: Pick<Settings, 'tracing'>
}

/**
 * What tells of a call that has begun; undefined if nobody listens, which costs a call these checks and nothing else.
 *
 * @param parent - what was active when the call was asked for, if that was earlier
 */
export function observe(runtime: Observed, name: string, isStreamed: boolean, parent?: unknown): Observer | undefined {
  const isTraced = runtime.settings.tracing && isTracing()
  if (!isTraced && !isObserved()) return undefined
  // A caller without types may pass anything.
  const method = reasonOf(name)
  const trace = isTraced ? Trace.start(runtime.name, method, parent) : undefined
  return new Observer(runtime, method, isStreamed, trace)
}

let lastCall = 0

/** Is told of one call, stop by stop, and tells subscribers; ends the call's span. It acts on nothing. */
export class Observer {
  readonly #message: { -readonly [K in keyof CallMessage]: CallMessage[K] }
  readonly #trace: Trace | undefined
  #isOver = false
  #isCancelled = false
  #hasLeft = false

  constructor({ id, name }: Observed, method: string, stream: boolean, trace: Trace | undefined) {
    this.#message = {
      id: ++lastCall,
      runtime: name,
      runtimeId: id,
      method,
      stream,
      requestBytes: undefined,
      queued: undefined,
      doorbell: undefined,
      responseBytes: undefined,
      late: undefined,
      waited: undefined,
      ran: undefined,
      error: undefined,
    }
    this.#trace = trace
    started.publish(this.#message)
  }

  /** What travels with the call. */
  get context(): Readonly<Record<string, string>> | undefined {
    return this.#trace?.context
  }

  /** Its arguments are `bytes` long. */
  encoded(bytes: number): void {
    this.#message.requestBytes = bytes
    encoded.publish(this.#message)
  }

  /** It waits, one of `waiting` calls. */
  queued(waiting: number): void {
    this.#message.queued = waiting
    queued.publish(this.#message)
  }

  /** It was let in and an instance has it. `doorbell`: whether the guest slept and was woken. */
  submitted(doorbell: boolean): void {
    // If it found no place it was rejected, and its subscribers have heard that.
    if (this.#isOver) return
    this.#message.doorbell = doorbell
    submitted.publish(this.#message)
  }

  /** Its response was drained. `late`: the call was given up before. */
  answered(bytes: number, late: boolean, times: CallTimes | undefined): void {
    const message = this.#message
    message.responseBytes = bytes
    message.late = late
    message.waited = times?.waited
    message.ran = times?.ran
    answered.publish(message)
  }

  /** It is given up. */
  cancelled(error: PolyloopError): void {
    this.#isCancelled = true
    this.#message.error = error
    cancelled.publish(this.#message)
  }

  /** Its reader has left: a loop that breaks is nobody's mistake. */
  left(): void {
    this.#hasLeft = true
  }

  /** Its promise has resolved, or its stream has ended. */
  settled(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#trace?.end()
    settled.publish(this.#message)
  }

  /** It is rejected, or refused before it was sent. */
  failed(error: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#trace?.end({ error, cancelled: this.#isCancelled, left: this.#hasLeft })
    this.#message.error = error
    failed.publish(this.#message)
  }
}

/** What is told of the events of instances: the channel, and then the caller's function. */
export function instanceEvents(
  runtime: string,
  runtimeId: number,
  onEvent: Settings['onEvent'],
): (event: RuntimeEvent) => void {
  return (event) => {
    if (instances.hasSubscribers) instances.publish({ ...event, runtime, runtimeId } satisfies InstanceMessage)
    onEvent?.(event)
  }
}
