// SPDX-License-Identifier: Apache-2.0
import type { BindingEvent } from '../native/addon.ts'

/** What an instance is started from. */
export interface GuestStart {
  /** The library that is opened: a guest of the C ABI. */
  readonly library: string
  /** Options of the loader, as JSON. */
  readonly loader: string
  /** The program and its arguments that serve the guest in a process of its own. */
  readonly command: readonly [string, ...string[]]
}

/** What a placement tells its instance. */
export interface Tenant {
  /** Of its start and its end, after what was answered and printed before. */
  event(kind: BindingEvent, rc: number, payload: string): void
  /** Its process is known. */
  reached(): void
  /** Another host has put a newer guest in the place of this one, which they share. */
  moved(): void
  /** Of the hosts that watch the code of this one it has had it longest; it was started at this time. */
  first(since: number): void
  /** It has broken a rule. */
  breach(error: Error): void
}

/** Where an instance's guest lives: in this process, or in another one. */
export interface Placement {
  /** Whether the guest is in another process. */
  readonly isRemote: boolean
  /** Of that process. */
  readonly pid: number | undefined
  /**
   * Whether a guest that is gone from here may still read what it was lent: others have it, too, or it could not be
   * ended.
   */
  readonly mayRead: boolean
  /**
   * Starts the guest. What it returns is called when the guest has started, or has not.
   *
   * @param anew - not one that others have, but one with the code of now
   */
  begin(anew: boolean): () => void
  /** Puts a guest that was started anew in the place of the one that others have. */
  takeOver(): Promise<void>
  /** Has the guest end, which has no calls in flight. */
  close(): void
  /** Ends it at once, whatever it does; the reason is in the event that follows. Nothing where that cannot be done. */
  kill(reason: Error): void
  /** Lets it go at once: ends it, or leaves it to the other hosts that it serves. */
  abandon(reason: Error): void
  /** Hands on what was printed and not read yet. */
  flushLog(): void
}
