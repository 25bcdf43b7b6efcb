// SPDX-License-Identifier: Apache-2.0
import { type FSWatcher, statSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { reasonOf, refusalOf } from '../common/reasons.ts'

/** Milliseconds without a change after which a file counts as written: editors and compilers write in several steps. */
const quiet = 100

const advice = 'it goes on, and changes of its code are not noticed: call reload()'
const used = 'raise fs.inotify.max_user_instances and max_user_watches'

/** Watches a guest's code. It does not keep the loop alive. If it cannot be watched, or not any more, that is a warning. */
export class CodeWatcher {
  readonly #path: string
  readonly #isOfGuest: (name: string) => boolean
  readonly #onChange: (at: number) => void
  #watcher: FSWatcher | undefined
  /** Which folder is watched: another one may come in its place. */
  #watched: string | undefined
  #timer: NodeJS.Timeout | undefined

  /**
   * @param path - the file that is loaded
   * @param isOfGuest - whether a file beside it, by its name, belongs to the guest, too
   * @param onChange - told when its code has changed: the time of the last change, in milliseconds since 1970
   */
  constructor(path: string, isOfGuest: (name: string) => boolean, onChange: (at: number) => void) {
    this.#path = path
    const own = basename(path)
    this.#isOfGuest = (name) => name === own || isOfGuest(name)
    this.#onChange = onChange
    this.#begin()
  }

  #begin(): void {
    // The folder: a file that is replaced is another one.
    const folder = dirname(this.#path)
    try {
      this.#watched = identityOf(folder)
      this.#watcher = watch(folder, { persistent: false }, (kind, name) => {
        const isReplaced = kind === 'rename' && identityOf(folder) !== this.#watched
        if (isReplaced || (name !== null && this.#isOfGuest(name))) this.#wait(folder)
      })
      this.#watcher.on('error', (error) => this.#giveUp(error))
    } catch (error) {
      this.#giveUp(error)
    }
  }

  #wait(folder: string): void {
    // RELOAD 1 ask
    clearTimeout(this.#timer)
    const at = Date.now()
    this.#timer = setTimeout(() => {
      if (identityOf(folder) !== this.#watched) {
        this.stop()
        this.#begin()
      }
      if (this.#watcher !== undefined) this.#onChange(at)
    }, quiet)
    this.#timer.unref()
  }

  #giveUp(error: unknown): void {
    this.stop()
    // Of inotify there are so many instances, which count as files, and so many watches, which count as space.
    const why = `${reasonOf(error)}${refusalOf(error)?.code === 'overloaded' ? `; ${used}` : ''}`
    process.emitWarning(`the code of the guest at ${this.#path} is not watched: ${why}; ${advice}`, 'PolyloopReload')
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#watcher?.close()
    this.#watcher = undefined
  }
}

/** Tells a folder from another one of the same name; undefined if there is none. */
function identityOf(folder: string): string | undefined {
  try {
    const { dev, ino } = statSync(folder)
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}
