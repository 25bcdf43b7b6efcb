// SPDX-License-Identifier: Apache-2.0
import type { Subject } from '../subject.ts'

/** All items of a stream. */
export async function all(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const items: unknown[] = []
  for await (const item of stream) items.push(item)
  return items
}

/** The numbers from 0; without end unless it is said how many. */
export function* numbers(count: number = Number.POSITIVE_INFINITY): Generator<number> {
  for (let number = 0; number < count; number++) yield number
}

/** An async iterable of these items, which counts what was asked of it and says whether it was closed. */
export class Feed implements AsyncIterable<unknown> {
  /** Items handed out. */
  given = 0
  closed = false
  readonly #items: Iterable<unknown>

  constructor(items: Iterable<unknown>) {
    this.#items = items
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    try {
      for (const item of this.#items) {
        this.given++
        yield item
      }
    } finally {
      this.closed = true
    }
  }
}

/** Time for the guest, counted by calls that it answers: what it could still do, it has done then. */
export async function letItWork(guest: Subject): Promise<void> {
  for (let round = 0; round < 100; round++) await guest.call('nothing')
}
