// SPDX-License-Identifier: Apache-2.0

import type { Dispatcher } from '../call/dispatcher.ts'
import type { PolyloopErrorCode } from '../common/errors.ts'
import type { Supervisor } from '../instances/supervisor.ts'
import { type BindingCounts, native } from '../native/addon.ts'
import type { Counters } from '../observe/counters.ts'
import type { Summary } from '../observe/histogram.ts'

/** Counters of one runtime since its load. */
export interface Stats {
  /** Calls submitted. */
  readonly calls: number
  /** Calls that were rejected, or refused before they were sent. */
  readonly errors: number
  /** The same by the code of the error. */
  readonly errorsByCode: Readonly<Partial<Record<PolyloopErrorCode, number>>>
  /** Of every n-th call (the `sample` option), in milliseconds. */
  readonly latency: {
    /** From the call until a guest thread took it. */
    readonly waiting: Summary
    /** From then until the call settled. */
    readonly running: Summary
  }
  /** Responses that came after their call was cancelled or its deadline had passed. */
  readonly late: number
  /** Answers that the guest's instances gave to calls that they had answered before. */
  readonly duplicates: number
  readonly inFlight: number
  /** Calls that wait because of maxCalls or maxBytes. */
  readonly queued: number
  /** Bytes of the requests in flight. */
  readonly bytesInFlight: number
  /** Bytes of all requests. */
  readonly requestBytes: number
  /** Bytes of all responses. */
  readonly responseBytes: number
  /** Bytes of memory that large responses came in, in use or kept for the next. */
  readonly slabBytes: number
  /** Requests whose memory is lent to the guest. */
  readonly pinned: number
  /** Times that the guest woke this thread's loop. */
  readonly wakeups: number
  /** Times that the guest was started again, after it had died. */
  readonly restarts: number
  /** Times that its code was loaded again; if it is shared, by whichever host. */
  readonly reloads: number
  /** The instances that there are. */
  readonly instances: readonly {
    /** Its process, if it has one of its own. */
    readonly pid?: number
    readonly state: string
    readonly inFlight: number
  }[]
  /** Counters of this thread, all runtimes together. */
  readonly thread: {
    /** Calls into native code: doorbells, pins, slabs. */
    readonly nativeCalls: number
    /** Calls of native code into JavaScript, each for a batch of responses. */
    readonly drains: number
    /** Times that a sleeping guest was woken. */
    readonly doorbells: number
    /** Times that a second guest thread was woken because the first was busy. */
    readonly helps: number
    readonly turns: number
  }
}

/** Errors of all codes together. */
function errorCount({ errors }: Counters): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0)
}

/** What is counted of a runtime now. */
export function statsOf({ counters, admission }: Dispatcher, { instances, restarts, rollout }: Supervisor): Stats {
  const { calls, late, responseBytes, requestBytes } = counters
  const each = instances
    .filter(({ state }) => state !== 'gone')
    .map(({ id, pid, state, connection }) => {
      const counted = JSON.parse(native.counts(id)) as Required<BindingCounts>
      return { ...counted, pid, state, inFlight: connection.calls, pinned: counted.pinned + connection.lent }
    })
  // Those of the thread are in each of them.
  const ofThread = each[0] ?? (JSON.parse(native.counts(0)) as BindingCounts)
  const { nativeCalls, drains, doorbells, helps, turns } = ofThread
  const sum = (of: 'duplicates' | 'slabBytes' | 'pinned' | 'wakeups'): number =>
    each.reduce((total, counted) => total + counted[of], 0)
  return {
    calls,
    errors: errorCount(counters),
    errorsByCode: { ...counters.errors },
    latency: { waiting: counters.waiting.summary(), running: counters.running.summary() },
    late,
    duplicates: sum('duplicates'),
    inFlight: admission.calls,
    queued: admission.waiting,
    bytesInFlight: admission.bytes,
    requestBytes,
    responseBytes,
    slabBytes: sum('slabBytes'),
    pinned: sum('pinned'),
    wakeups: sum('wakeups'),
    restarts,
    reloads: rollout.count,
    instances: each.map(({ pid, state, inFlight }) => ({ ...(pid !== undefined && { pid }), state, inFlight })),
    thread: { nativeCalls, drains, doorbells, helps, turns },
  }
}
