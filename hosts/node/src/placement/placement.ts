// SPDX-License-Identifier: Apache-2.0
import { type GuestExit, PolyloopError, type PolyloopErrorCode } from '../common/errors.ts'
import type { BindingEvent } from '../native/addon.ts'

/**
 * What happens to an instance, told in the order in which it happened: by the guest's process to
 * its placement, by the placement to the instance, and by the instance to the supervisor. Who has
 * nothing to do with an event hands it on as it is.
 */
export type InstanceEvent =
  /** Its process is known. */
  | { readonly type: 'reached' }
  /** Its process has said a line over the lifeline. */
  | { readonly type: 'line'; readonly line: string }
  /** It has started, and declares this as JSON. */
  | { readonly type: 'ready'; readonly manifest: string }
  /** It has not started. */
  | { readonly type: 'failed'; readonly error: PolyloopError }
  /** It can run no code any more; what it answered and printed before was told before. */
  | { readonly type: 'died'; readonly error: PolyloopError }
  /** It was told to end, and has. */
  | { readonly type: 'closed' }
  /** Its process has ended, or is out of reach, and what it wrote before was read. Once. */
  | { readonly type: 'ended'; readonly how: string; readonly exit: GuestExit }
  /** Its process does not exist. Once, and nothing else. */
  | { readonly type: 'refused'; readonly code: PolyloopErrorCode; readonly message: string }
  /** Other hosts, which share it, have put a newer one in its place. */
  | { readonly type: 'moved' }
  /** Of the hosts that watch its code this one has had it longest; its code is of this time, or newer. */
  | { readonly type: 'first'; readonly since: number }
  /** It has broken a rule. */
  | { readonly type: 'breach'; readonly error: Error }

export type OnInstanceEvent = (event: InstanceEvent) => void

/** Where an instance's guest runs: on threads of this process, or in another process. */
export interface Placement {
  /** Whether the guest is in another process. */
  readonly isRemote: boolean
  /** Of that process. */
  readonly pid: number | undefined
  /**
   * Whether a guest that is gone from here may still read what it was lent: others have it, too, or
   * it could not be ended.
   */
  readonly mayRead: boolean
  /**
   * Starts the guest. What it returns is called when the guest has started, or has not.
   *
   * @param fresh - a new one with the current code, even if others share one
   */
  begin(fresh: boolean): () => void
  /** The words that idle guest threads park on, if they are not in the block; known once the guest is ready. */
  parkingWords(): ArrayBuffer | undefined
  /** Puts a fresh guest in the place of the one that others share. */
  takeOver(): Promise<void>
  /** Has the guest end, which has no calls in flight. */
  close(): void
  /** Ends the guest at once, whatever it does; the reason is in the event that follows. Does nothing to threads. */
  kill(reason: Error): void
  /**
   * Lets the guest go at once: ends it, or leaves it to the other hosts that it serves. Does nothing to threads.
   *
   * @param reason - for the event that follows
   */
  abandon(reason: Error): void
  /**
   * Does not wait for the guest any more: ends it at once, or leaves it to the other hosts that it serves. Threads, which
   * were told to end, go on until they return, and do not keep the loop alive.
   */
  end(): void
  /** Hands on what was printed and not read yet. */
  flushLog(): void
}

/** What the add-on tells of a connection, as an event. `payload` is the manifest, or a guest's error as JSON. */
export function fromAddon(kind: BindingEvent, rc: number, payload: string): InstanceEvent {
  switch (kind) {
    case 'ready':
      return { type: 'ready', manifest: payload }
    case 'failed':
      return { type: 'failed', error: PolyloopError.fromGuest('init-failed', payload, rc) }
    case 'died':
      return { type: 'died', error: PolyloopError.fromGuest('guest-crashed', payload) }
    case 'closed':
      return { type: 'closed' }
  }
}
