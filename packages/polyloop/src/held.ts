// SPDX-License-Identifier: Apache-2.0

/**
 * Requests, or items, that the guest holds beyond its answer. Two things free one, and either may come first: the
 * answer, and that the guest lets go.
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

  /** The answer has come, and says whether the guest holds it. Returns whether the place is free now. */
  answered(place: number, isHeld: boolean): boolean {
    if (!isHeld || this.#places.delete(place)) return true
    this.#places.set(place, 1)
    return false
  }

  /** The guest has let go. Returns whether the place is free now. */
  released(place: number): boolean {
    if (this.#places.delete(place)) return true
    this.#places.set(place, -1)
    return false
  }
}
