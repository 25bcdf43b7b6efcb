// SPDX-License-Identifier: Apache-2.0
import { types } from 'node:util'
import { callAside, readFrom } from '../common/call-back.ts'
import type { Encoded } from '../common/codec.ts'
import { PolyloopError } from '../common/errors.ts'
import { windowBytes } from '../common/layout.ts'
import { isOurs, reasonOf } from '../common/reasons.ts'

/** The call that a request stream belongs to, once it is submitted. */
export interface Sink {
  /** Sends an item; undefined if no place is free. Its bytes otherwise. */
  send(item: Encoded): number | undefined
  end(): void
  /** Told once, when a place may be free. */
  whenFree(then: () => void): void
}

/** An argument that is a stream. */
export type Streamed = AsyncIterable<unknown> | (Iterator<unknown> & Iterable<unknown>)

/**
 * Whether an argument is a stream: an async iterable, or an iterator, as a generator returns. What can be iterated again,
 * as an array, is a value.
 *
 * @throws invalid-argument if it does not let itself be asked
 */
export function isStream(value: unknown): value is Streamed {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || types.isUint8Array(value)) return false
  return readFrom('the argument', () => Symbol.asyncIterator in value || isIterator(value))
}

function isIterator(value: object): boolean {
  return Symbol.iterator in value && typeof (value as Partial<Iterator<unknown>>).next === 'function'
}

/** A stream whose items may be waited for. */
export function toAsync(stream: Streamed): AsyncIterable<unknown> {
  if (Symbol.asyncIterator in stream) return stream
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => stream.next(),
      return: async () => stream.return?.() ?? { done: true, value: undefined },
    }),
  }
}

/** Feeds a request stream from an async iterable, as fast as the guest takes its items. */
export class RequestStream {
  readonly #iterable: AsyncIterable<unknown>
  readonly #encode: (value: unknown) => Encoded
  readonly #fail: (error: PolyloopError) => void
  /** Items that the guest has not given back, at most. */
  ahead = 64
  #iterator: AsyncIterator<unknown> | undefined
  #sink: Sink | undefined
  #items = 0
  #bytes = 0
  #over = false
  #wake: (() => void) | undefined

  /** @param fail - told why the stream cannot go on */
  constructor(
    iterable: AsyncIterable<unknown>,
    encode: (value: unknown) => Encoded,
    fail: (error: PolyloopError) => void,
  ) {
    this.#iterable = iterable
    this.#encode = encode
    this.#fail = fail
  }

  /** The call was submitted. */
  start(sink: Sink): void {
    this.#sink = sink
    this.#feed().catch((error: unknown) => this.#stop(error))
  }

  /** The guest has given an item back. */
  acknowledge(bytes: number): void {
    this.#items--
    this.#bytes -= bytes
    this.#wake?.()
  }

  /** The call is over: nobody wants the rest. */
  finish(): void {
    if (this.#over) return
    this.#over = true
    this.#wake?.()
    // Not awaited, and not the call's business if it fails: the call has its outcome. Not now, either: a guest's death, or
    // a signal, ends other calls beside this one.
    const iterator = this.#iterator
    if (iterator !== undefined) callAside(() => iterator.return?.())
  }

  async #feed(): Promise<void> {
    // What the caller's iterable does is done when the call has been sent.
    await undefined
    if (this.#over) return
    const iterator = this.#iterable[Symbol.asyncIterator]()
    this.#iterator = iterator
    for (;;) {
      if (!(await this.#hasRoom())) return
      const { done, value } = await iterator.next()
      if (this.#over) return
      if (done === true) {
        this.#over = true
        return this.#sink?.end()
      }
      await this.#send(this.#encode(value))
    }
  }

  /** Waits until the guest has given enough back. False: the call is over. */
  async #hasRoom(): Promise<boolean> {
    while (!this.#over && this.#items > 0 && (this.#items >= this.ahead || this.#bytes >= windowBytes)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return !this.#over
  }

  async #send(item: Encoded): Promise<void> {
    this.#items++
    for (;;) {
      const bytes = this.#sink?.send(item)
      if (bytes !== undefined) {
        this.#bytes += bytes
        return
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#sink?.whenFree(resolve)
      })
      if (this.#over) return
    }
  }

  #stop(error: unknown): void {
    if (this.#over) return
    const message = `the stream that was the argument failed: ${reasonOf(error)}`
    this.#fail(isOurs(error) ? error : new PolyloopError('cancelled', message, { cause: error }))
  }
}
