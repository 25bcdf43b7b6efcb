// SPDX-License-Identifier: Apache-2.0

import { Breach, PolyloopError } from '../common/errors.ts'
import { windowBytes } from '../common/layout.ts'

/**
 * What a guest's generator yields: read it once, with `for await`. Leaving the loop, `return()`, and disposing of it end
 * the guest's side, too. Nothing is sent before the first item is asked for.
 */
export interface Stream<T> extends AsyncIterableIterator<T>, AsyncDisposable {
  return(): Promise<IteratorResult<T>>
  throw(error: unknown): Promise<IteratorResult<T>>
}

/** The call behind a stream, as far as its reader needs it. */
export interface Source {
  /** Gives read items back as credit. */
  credit(items: number, bytes: number): void
  /** Gives the call up. */
  abandon(error: PolyloopError): void
}

interface Waiting {
  resolve(result: IteratorResult<unknown>): void
  reject(error: unknown): void
}

/**
 * Items that a guest may be ahead of the reader of a stream, unless less is asked for: a guest that has spent its credit
 * sleeps, and to wake it costs the loop as much as a dozen small items.
 */
export const mostAhead = 256

const over: IteratorResult<unknown> = { done: true, value: undefined }

/** The reader's end of a response stream. */
export class ResponseStream implements Stream<unknown> {
  /** Items that the guest may be ahead at most: what the caller asked for. */
  ahead: number = mostAhead
  /** Items that it may be ahead: what there was credit for. */
  window = 1
  readonly #begin: (responseStream: ResponseStream) => Source
  #source: Source | undefined
  #items: { readonly value: unknown; readonly bytes: number }[] = []
  #next = 0
  readonly #readers: Waiting[] = []
  #ended = false
  #error: unknown
  #isRead = false
  #read = 0
  #readBytes = 0
  /** Bytes of the items that wait here, and of the largest that has come. */
  #waitingBytes = 0
  #largest = 0

  /** @param begin - starts the call, which then fills this */
  constructor(begin: (responseStream: ResponseStream) => Source) {
    this.#begin = begin
  }

  [Symbol.asyncIterator](): this {
    if (this.#isRead) {
      throw new PolyloopError(
        'invalid-argument',
        'the stream is being read already: call the function again for another',
      )
    }
    this.#isRead = true
    return this
  }

  next(): Promise<IteratorResult<unknown>> {
    try {
      this.start()
    } catch (error) {
      this.fail(error)
    }
    const item = this.#items[this.#next]
    if (item !== undefined) {
      this.#shift()
      this.#waitingBytes -= item.bytes
      this.#count(item.bytes)
      return Promise.resolve({ done: false, value: item.value })
    }
    if (!this.#ended) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
    const error = this.#error
    this.#error = undefined
    return error === undefined ? Promise.resolve(over) : Promise.reject(error)
  }

  return(): Promise<IteratorResult<unknown>> {
    this.#giveUp(new PolyloopError('cancelled', 'the stream was given up by its reader'))
    return Promise.resolve(over)
  }

  throw(error: unknown): Promise<IteratorResult<unknown>> {
    this.#giveUp(new PolyloopError('cancelled', 'the stream was given up by its reader', { cause: error }))
    return Promise.reject(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  /** Starts the call, once. */
  start(): void {
    // ITEM 1 ask
    if (this.#source === undefined && !this.#ended) this.#source = this.#begin(this)
  }

  /**
   * An item of the guest's has come.
   *
   * @throws Breach if it had no credit for it
   */
  receive(value: unknown, bytes: number): void {
    // ITEM 5 receive
    if (bytes > this.#largest) this.#largest = bytes
    const isFull = this.#items.length - this.#next >= this.window
    // Guest threads may send in another order than they got their credit in: any of the items may be the one beyond it.
    if (!this.#ended && (isFull || this.#waitingBytes + bytes >= windowBytes + this.#largest)) {
      throw new Breach('it sends items without credit')
    }
    this.push(value, bytes)
  }

  /** Another item is there to be read. */
  push(value: unknown, bytes: number): void {
    if (this.#ended) return
    const reader = this.#readers.shift()
    if (reader === undefined) {
      this.#items.push({ value, bytes })
      this.#waitingBytes += bytes
      return
    }
    this.#count(bytes)
    reader.resolve({ done: false, value })
  }

  /** No more will come. */
  finish(): void {
    this.#ended = true
    for (const reader of this.#readers.splice(0)) reader.resolve(over)
  }

  /** No more will come, because of this. The items that came before it are read before it. */
  fail(error: unknown): void {
    if (this.#ended) return
    const first = this.#readers.shift()
    if (first === undefined) this.#error = error
    else first.reject(error)
    this.finish()
  }

  #giveUp(error: PolyloopError): void {
    this.#items = []
    this.#next = 0
    this.#waitingBytes = 0
    this.#error = undefined
    const wasOver = this.#ended
    this.finish()
    if (!wasOver) this.#source?.abandon(error)
  }

  /** Gives credit back once half of it was used, in items or in bytes. */
  #count(bytes: number): void {
    this.#read++
    this.#readBytes += bytes
    if (this.#ended || (this.#read * 2 < this.window && this.#readBytes * 2 < windowBytes)) return
    // ITEM 6 give credit back
    this.#source?.credit(this.#read, this.#readBytes)
    this.#read = 0
    this.#readBytes = 0
  }

  #shift(): void {
    this.#next++
    // Amortised: half of the array is gone whenever it is moved.
    if (this.#next * 2 <= this.#items.length) return
    this.#items = this.#items.slice(this.#next)
    this.#next = 0
  }
}
