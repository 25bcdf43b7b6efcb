// SPDX-License-Identifier: Apache-2.0
import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Milliseconds without a change after which a file counts as written: editors and compilers write in several steps. */
const quiet = 100

/** Watches a guest's code. It does not keep the loop alive. */
export class CodeWatcher {
  readonly #watcher: FSWatcher
  #timer: NodeJS.Timeout | undefined

  /**
   * @param path - the file that is loaded
   * @param isOfGuest - whether a file beside it, by its name, belongs to the guest, too
   * @param onChange - told when its code has changed: the time of the last change, in milliseconds since 1970
   */
  constructor(path: string, isOfGuest: (name: string) => boolean, onChange: (at: number) => void) {
    const own = basename(path)
    // The folder: a file that is replaced is another one.
    this.#watcher = watch(dirname(path), { persistent: false }, (_, name) => {
      if (name === null || (name !== own && !isOfGuest(name))) return
      // RELOAD 1 ask
      clearTimeout(this.#timer)
      this.#timer = setTimeout(onChange, quiet, Date.now())
      this.#timer.unref()
    })
    // A folder that is gone changes no more.
    this.#watcher.on('error', () => this.stop())
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#watcher.close()
  }
}
