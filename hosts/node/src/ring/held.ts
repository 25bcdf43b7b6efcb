// SPDX-License-Identifier: Apache-2.0
import { Breach } from '../common/errors.ts'

/**
 * Requests, or items, that the guest holds beyond its answer. Two things free one, and either may come first: the
 * answer, and that the guest lets go. A place that was freed twice would be two calls', so each is believed once.
 */
export class Held {
  /** Answered and not let go (1), or let go before the answer came (-1). */
  readonly #places = new Map<number, 1 | -1>()

  get size(): number {
    return this.#places.size
  }

  /** Whether the guest may still hold what lies at a place. */
  has(place: number): boolean {
    return this.#places.get(place) === 1
  }

  /** How many are answered and not let go. Forgets all of them. */
  clear(): number {
    const count = [...this.#places.values()].filter((state) => state === 1).length
    this.#places.clear()
    return count
  }

  /**
   * The answer has come, and says whether the guest holds it. Returns whether the place is free now.
   *
   * @throws Breach if the guest has let go of what it says it does not hold
   */
  answered(place: number, isHeld: boolean): boolean {
    const hasLetGo = this.#places.size > 0 && this.#places.delete(place)
    if (isHeld && !hasLetGo) this.#places.set(place, 1)
    if (!isHeld && hasLetGo) throw new Breach('it lets go of what it does not hold')
    return hasLetGo || !isHeld
  }

  /**
   * The guest has let go. Returns whether the place is free now.
   *
   * @throws Breach if it has before
   */
  released(place: number): boolean {
    const state = this.#places.get(place)
    if (state === -1) throw new Breach('it lets go of the same twice')
    if (state === 1) return this.#places.delete(place)
    this.#places.set(place, -1)
    return false
  }
}
