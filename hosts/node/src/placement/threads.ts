// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { PolyloopError } from '../common/errors.ts'
import { guestOptions, type Settings } from '../common/options.ts'
import { toPolyloop } from '../common/reasons.ts'
import type { GuestStart } from '../guests/start.ts'
import { native } from '../native/addon.ts'
import { hold, release } from '../native/keep-alive.ts'
import { keepTerminal } from '../native/terminal.ts'
import { copyLibrary } from './library-copy.ts'
import type { Placement } from './placement.ts'
import type { Printer } from './printer.ts'

/** Milliseconds between two tries to end a guest, at most; the first ones come sooner. */
const longestPause = 100

/** A guest on threads of this process. */
export class ThreadPlacement implements Placement {
  readonly isRemote = false
  readonly pid = undefined
  readonly mayRead = false
  readonly #id: number
  readonly #guest: GuestStart
  readonly #settings: Settings
  readonly #printer: Printer
  readonly #isFresh: boolean
  /** How long the next try to end it waits. */
  #pause = 0

  /** @param isFresh - whether older code of the same guest may still be loaded */
  constructor(id: number, guest: GuestStart, settings: Settings, printer: Printer, isFresh: boolean) {
    this.#id = id
    this.#guest = guest
    this.#settings = settings
    this.#printer = printer
    this.#isFresh = isFresh
  }

  begin(): () => void {
    const { loader } = this.#guest
    // A process opens a library of one path once, and never again.
    const isCopied = this.#isFresh && loader === '' && existsSync(this.#guest.library)
    const copied = isCopied ? copy(this.#guest.library) : undefined
    const library = copied?.path ?? this.#guest.library
    keepTerminal()
    try {
      native.start(this.#id, JSON.stringify({ library, loader, ...guestOptions(this.#settings) }))
    } catch (error) {
      copied?.remove()
      throw error
    }
    return () => copied?.remove()
  }

  /** They park on words of the block. */
  parkingWords(): undefined {}

  /** Nobody else has one. */
  async takeOver(): Promise<void> {}

  /** Its end needs a thread: if the system has none to give, that is tried until the system has one. */
  close(): void {
    try {
      native.close(this.#id)
      release(this)
    } catch (error) {
      this.#closeLater(error as PolyloopError)
    }
  }

  #closeLater({ message }: PolyloopError): void {
    if (this.#pause === 0) process.emitWarning(`${message}; that is tried until it can be done`, 'PolyloopUnload')
    this.#pause = Math.min(this.#pause * 2 || 1, longestPause)
    hold(this, 'a guest on threads is to be ended, and there is no thread for that yet')
    setTimeout(() => this.close(), this.#pause).unref()
  }

  /** Threads cannot be ended from outside. */
  kill(): void {}

  abandon(): void {}

  end(): void {
    native.letGo(this.#id)
  }

  flushLog(): void {
    const lines = JSON.parse(native.takeLog(this.#id)) as [1 | 2, string][]
    for (const [stream, text] of lines) this.#printer.print(text, stream === 2 ? 'stderr' : 'stdout')
  }
}

/** A copy of a library in a folder that nobody else may write to. */
function copy(library: string): { readonly path: string; remove(): void } {
  try {
    return copyTo(library, tmpdir())
  } catch (error) {
    throw toPolyloop(error, `the new code cannot be copied to ${tmpdir()}, which TMPDIR names`)
  }
}

function copyTo(library: string, temporary: string): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(temporary, 'polyloop-'))
  const path = join(folder, basename(library))
  const remove = (): void => {
    try {
      rmSync(folder, { recursive: true, force: true })
    } catch {
      // It stays where it is: the guest has started, or has not.
    }
  }
  try {
    copyLibrary(library, path)
  } catch (error) {
    remove()
    throw error
  }
  return { path, remove }
}
