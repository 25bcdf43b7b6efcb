// SPDX-License-Identifier: Apache-2.0

import type { Settings } from '../common/options.ts'
import type { Instance } from './instance.ts'

/** Milliseconds of a start that is not the first, at least, after which it counts as hung, if nothing else was set. */
const leastStart = 60_000

/** A place of a supervisor: an instance, and after its death the next one. */
export class Replica {
  readonly index: number
  /** The instance that takes calls here. */
  serving: Instance | undefined
  /** An instance that others have left for a newer one, which could not be reached from here. */
  leftBehind: Instance | undefined
  /** Deaths in a row. */
  deaths = 0
  readonly #policy: Settings['restart']
  /** When the instance was ready, or began to start, in milliseconds. */
  #since = 0
  #timer: NodeJS.Timeout | undefined
  /** Instances that start here. */
  #starting = 0
  /** Milliseconds that the first start took. */
  #firstStart: number | undefined

  constructor(index: number, policy: Settings['restart']) {
    this.index = index
    this.#policy = policy
  }

  /** Whether there is an instance that takes calls, or will. */
  get isOccupied(): boolean {
    return this.#timer !== undefined || this.#starting > 0 || this.serving?.state === 'ready'
  }

  /** Milliseconds in which the next start has to be over; Infinity for the first. */
  get startTimeout(): number {
    if (this.#firstStart === undefined) return Number.POSITIVE_INFINITY
    return this.#policy.timeout || Math.max(leastStart, 3 * this.#firstStart)
  }

  /** An instance starts here until `start` has settled. */
  async whileStarting<T>(start: () => Promise<T>): Promise<T> {
    const since = performance.now()
    this.#starting++
    try {
      const started = await start()
      this.#firstStart ??= performance.now() - since
      return started
    } finally {
      this.#starting--
    }
  }

  /** An instance takes calls here from now on. Returns the one before, if there was another. */
  settle(instance: Instance): Instance | undefined {
    const before = this.serving
    this.serving = instance
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
