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
    if (this.#log === undefined)
      return process[stream].write(pid === undefined ? text : `[${this.#name} ${pid}] ${text}`)
    const log = this.#log
    callBack(() => log(text, stream, pid === undefined ? {} : { pid }))
    return true
  }

  /** Prints a line of another process. Returns a promise if the next one has to wait. */
  line(text: string, stream: StreamName, pid: number | undefined): Promise<void> | undefined {
    if (this.print(text, stream, pid)) return undefined
    return new Promise((resolve) => process[stream].once('drain', resolve))
  }
}
