// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path'
import { callBack } from '../common/call-back.ts'
import type { LoadOptions } from '../common/options.ts'

export type StreamName = 'stdout' | 'stderr'

/** Hands what a guest prints to the caller's function, or to the process's own streams. */
export class Printer {
  readonly #name: string
  readonly #log: LoadOptions['log']

  constructor(name: string, log: LoadOptions['log']) {
    this.#name = basename(name)
    this.#log = log
  }

  /**
   * Prints whole lines.
   *
   * @param pid - the process that wrote them, if that is another one: on this process's own streams its lines are labelled
   * @returns false if the stream would rather wait
   */
  print(text: string, stream: StreamName, pid?: number): boolean {
    if (this.#log === undefined) return write(stream, pid === undefined ? text : `[${this.#name} ${pid}] ${text}`)
    const log = this.#log
    callBack(() => log(text, stream, pid === undefined ? {} : { pid }))
    return true
  }

  /** Prints a line of another process. Returns a promise if the next one has to wait. */
  line(text: string, stream: StreamName, pid: number | undefined): Promise<void> | undefined {
    if (this.print(text, stream, pid)) return undefined
    return drained(stream)
  }
}

/** Who waits for a stream of this process waits with all others. */
const waiting = new Map<StreamName, Promise<void>>()

/** Resolves when a stream of this process takes more, or never will. */
function drained(name: StreamName): Promise<void> {
  const known = waiting.get(name)
  if (known !== undefined) return known
  const promise = new Promise<void>((resolve) => {
    const to = process[name]
    const done = (): void => {
      to.off('drain', done).off('close', done)
      waiting.delete(name)
      resolve()
    }
    to.on('drain', done).on('close', done)
  })
  waiting.set(name, promise)
  return promise
}

/**
 * Writes to a stream of this process, as `console` does: that its reader is gone is no reason to end. The program may have
 * put another `write` in its place, which throws, or returns anything. Returns whether the next need not wait.
 */
function write(name: StreamName, text: string): boolean {
  const to = process[name]
  callBack(() =>
    to.write(text, (error) => {
      // It is told after this, as an event. Where the program listens it hears of it.
      if (error && to.listenerCount('error') === 0) to.once('error', () => {})
    }),
  )
  return to.destroyed || !to.writableNeedDrain
}
