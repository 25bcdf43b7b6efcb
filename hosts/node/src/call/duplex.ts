// SPDX-License-Identifier: Apache-2.0
import { PolyloopError } from '../common/errors.ts'
import { ResponseStream, type Source, type Stream } from './response-stream.ts'

/** A call that streams both ways: write items while you read the guest's. */
export interface Duplex<In, Out> extends Stream<Out> {
  /** Sends an item; settles when the guest has room for the next. */
  write(item: In): Promise<void>
  /** Says that no more will be written. */
  end(): void
}

interface Written {
  readonly item: unknown
  resolve(): void
  reject(error: unknown): void
}

/** Hands what is written to whoever reads it, one item at a time. */
class Channel implements AsyncIterableIterator<unknown> {
  readonly #written: Written[] = []
  #reader: ((result: IteratorResult<unknown>) => void) | undefined
  #ended = false
  #broken = false

  write(item: unknown): Promise<void> {
    if (this.#broken)
      return Promise.reject(new PolyloopError('cancelled', 'the call is over: nobody reads what is written'))
    if (this.#ended) {
      return Promise.reject(new PolyloopError('invalid-argument', 'end() was called: nothing can be written any more'))
    }
    const reader = this.#reader
    if (reader !== undefined) {
      this.#reader = undefined
      reader({ done: false, value: item })
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => this.#written.push({ item, resolve, reject }))
  }

  end(): void {
    this.#ended = true
    if (this.#written.length === 0) this.#reader?.({ done: true, value: undefined })
  }

  next(): Promise<IteratorResult<unknown>> {
    const first = this.#written.shift()
    if (first !== undefined) {
      first.resolve()
      return Promise.resolve({ done: false, value: first.item })
    }
    if (this.#ended || this.#broken) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => {
      this.#reader = resolve
    })
  }

  return(): Promise<IteratorResult<unknown>> {
    this.#broken = true
    this.#reader?.({ done: true, value: undefined })
    for (const { reject } of this.#written.splice(0)) {
      reject(new PolyloopError('cancelled', 'the call ended before this was read'))
    }
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** The caller's end of a call that streams both ways. */
export class DuplexCall extends ResponseStream implements Duplex<unknown, unknown> {
  readonly #channel: Channel

  /** @param begin - starts the call with its request stream */
  constructor(begin: (responseStream: ResponseStream, requestStream: AsyncIterable<unknown>) => Source) {
    const channel = new Channel()
    super((responseStream) => begin(responseStream, channel))
    this.#channel = channel
  }

  write(item: unknown): Promise<void> {
    try {
      this.start()
    } catch (error) {
      this.fail(error)
      return Promise.reject(error)
    }
    return this.#channel.write(item)
  }

  end(): void {
    this.#channel.end()
  }
}
