// SPDX-License-Identifier: Apache-2.0
import type { GuestStart, Home } from './home.ts'
import { native } from './native.ts'
import type { Settings } from './options.ts'
import { Printer } from './printer.ts'

/** A guest on threads of this process. */
export class ThreadHome implements Home {
  readonly isRemote = false
  readonly pid = undefined
  readonly #id: number
  readonly #guest: GuestStart
  readonly #settings: Settings
  readonly #printer: Printer

  constructor(id: number, name: string, guest: GuestStart, settings: Settings) {
    this.#id = id
    this.#guest = guest
    this.#settings = settings
    this.#printer = new Printer(name, settings.log)
  }

  begin(): void {
    const { threads, config, encoding } = this.#settings
    const { library, loader } = this.#guest
    native.start(this.#id, JSON.stringify({ library, loader, threads, config, codec: encoding.name }))
  }

  close(): void {
    native.close(this.#id)
  }

  /** Threads cannot be ended from outside. */
  kill(): void {}

  flushLog(): void {
    const lines = JSON.parse(native.takeLog(this.#id)) as [1 | 2, string][]
    for (const [stream, text] of lines) this.#printer.print(text, stream === 2 ? 'stderr' : 'stdout')
  }
}
