// SPDX-License-Identifier: Apache-2.0

import type { Settings } from '../common/options.ts'
import type { Instance } from './instance.ts'

/** A place of a supervisor: an instance, and after its death the next one. */
export class Replica {
  readonly index: number
  instance: Instance | undefined
  /** An instance that others have left for a newer one, which could not be reached from here. */
  leftBehind: Instance | undefined
  /** Deaths in a row. */
  deaths = 0
  readonly #policy: Settings['restart']
  /** When the instance was ready, or began to start, in milliseconds. */
  #since = 0
  #timer: NodeJS.Timeout | undefined

  constructor(index: number, policy: Settings['restart']) {
    this.index = index
    this.#policy = policy
  }

  /** Whether there is an instance that takes calls, or will. */
  get isOccupied(): boolean {
    const state = this.instance?.state
    return this.#timer !== undefined || state === 'starting' || state === 'ready'
  }

  /** An instance takes calls here from now on. Returns the one before, if there was another. */
  settle(instance: Instance): Instance | undefined {
    const before = this.instance === instance ? undefined : this.instance
    this.instance = instance
    this.leftBehind = undefined
    this.#since = Date.now()
    return before
  }

  /** After a death: calls `start` when it is time for the next instance. Returns false if there is to be none. */
  restart(start: () => void): boolean {
    // DEATH 4 decide
    const { attempts, minDelay, maxDelay, resetAfter } = this.#policy
    if (Date.now() - this.#since >= resetAfter) this.deaths = 0
    this.deaths++
    if (this.deaths > attempts) return false
    const delay = this.deaths === 1 ? 0 : Math.min(maxDelay, minDelay * 2 ** (this.deaths - 2))
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#since = Date.now()
      start()
    }, delay)
    // Calls that wait keep the loop alive, and nothing else does.
    this.#timer.unref()
    return true
  }

  /** No instance is to be started any more. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** What died here before counts no more. */
  forgive(): void {
    this.stop()
    this.deaths = 0
  }
}
