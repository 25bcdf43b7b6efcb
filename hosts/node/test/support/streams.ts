// SPDX-License-Identifier: Apache-2.0
import type { Stream } from '../../src/call/response-stream.ts'

/** Calls a function that streams as a method of the guest. */
export function method(guest: object, name: string, ...args: unknown[]): Stream<unknown> {
  return (guest as unknown as Record<string, (...args: unknown[]) => Stream<unknown>>)[name]?.(
    ...args,
  ) as Stream<unknown>
}

/** All items of a stream. */
export async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of stream) items.push(item)
  return items
}

/** An async iterable of these items, which counts what was asked of it and whether it was closed. */
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

/** The numbers from 0; without end where none is given. */
export function* numbers(count: number = Number.POSITIVE_INFINITY): Generator<number> {
  for (let number = 0; number < count; number++) yield number
}
