// SPDX-License-Identifier: Apache-2.0
import type { Counts } from './counts.ts'
import type { PolyloopErrorCode } from './errors.ts'
import type { Summary } from './histogram.ts'
import { type BindingCounts, native } from './native.ts'
import type { Tasks } from './tasks.ts'

/** Counts of one runtime since its load. */
export interface Stats {
  /** Calls submitted. */
  readonly calls: number
  /** Calls that were rejected, or refused before they were sent. */
  readonly errors: number
  /** The same by the code of the error. */
  readonly errorsByCode: Readonly<Partial<Record<PolyloopErrorCode, number>>>
  /** Of every so many-th call (the `sample` option), in milliseconds. */
  readonly latency: {
    /** From the call until a guest thread took it. */
    readonly waiting: Summary
    /** From then until the call settled. */
    readonly running: Summary
  }
  /** Responses that came after their call was cancelled or its deadline had passed. */
  readonly late: number
  /** Answers that the guest gave to a task it had answered before. */
  readonly duplicates: number
  readonly inFlight: number
  /** Calls that wait because of maxCalls or maxBytes. */
  readonly queued: number
  /** Bytes of the requests in flight. */
  readonly bytesInFlight: number
  /** Bytes of all requests. */
  readonly bytesOut: number
  /** Bytes of all responses. */
  readonly bytesIn: number
  /** Bytes of memory that large responses came in, in use or kept for the next. */
  readonly slabBytes: number
  /** Requests whose memory is lent to the guest. */
  readonly pinned: number
  /** Times that the guest woke this thread's loop. */
  readonly wakeups: number
  /** Counts of this thread, all runtimes together. */
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
function errorCount({ errors }: Counts): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0)
}

/** What is counted of a runtime now. */
export function statsOf(id: number, { counts, admission }: Tasks): Stats {
  const { calls, late, bytesIn, bytesOut } = counts
  const binding = JSON.parse(native.counts(id)) as Required<BindingCounts>
  const { duplicates, slabBytes, pinned, wakeups, nativeCalls, drains, doorbells, helps, turns } = binding
  return {
    calls,
    errors: errorCount(counts),
    errorsByCode: { ...counts.errors },
    latency: { waiting: counts.waiting.summary(), running: counts.running.summary() },
    late,
    duplicates,
    inFlight: admission.calls,
    queued: admission.waiting,
    bytesInFlight: admission.bytes,
    bytesOut,
    bytesIn,
    slabBytes,
    pinned,
    wakeups,
    thread: { nativeCalls, drains, doorbells, helps, turns },
  }
}
