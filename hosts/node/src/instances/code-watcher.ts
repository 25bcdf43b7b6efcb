// SPDX-License-Identifier: Apache-2.0
import { type FSWatcher, statSync, watch } from 'node:fs'
import { basename, join } from 'node:path'
import { reasonOf, refusalOf } from '../common/reasons.ts'
import { CodeTree, type OwnCode } from './code-tree.ts'

/** Milliseconds without a change after which a file counts as written: editors and compilers write in several steps. */
const quiet = 100

const advice = 'it goes on, and changes of its code are not noticed: call reload()'
const used = 'raise fs.inotify.max_user_instances and max_user_watches'

/** A folder that is watched. */
interface Watched {
  readonly watcher: FSWatcher
  /** Tells the folder from another one that comes in its place. */
  readonly identity: string | undefined
  isGone: boolean
}

/**
 * Watches a guest's code, where links lead to as well, and folders that come in the place of others. It does not keep
 * the loop alive. Code that cannot be watched, or not any more, is a warning.
 */
export class CodeWatcher {
  readonly #path: string
  readonly #code: OwnCode | undefined
  readonly #onChange: (at: number) => void
  readonly #folders = new Map<string, Watched>()
  #tree: CodeTree | undefined
  #timer: NodeJS.Timeout | undefined
  /** Whether a file has changed since the last look at all of them. */
  #isTouched = false
  #changedAt = 0
  #isCut = false
  /** Why a folder is not watched. */
  #unread: unknown

  /**
   * @param path - the file that is loaded
   * @param code - which files below that one's folder belong to the guest, too
   * @param onChange - told when its code has changed: the time of the last change, in milliseconds since 1970
   */
  constructor(path: string, code: OwnCode | undefined, onChange: (at: number) => void) {
    this.#path = path
    this.#code = code
    this.#onChange = onChange
    this.#look()
  }

  /** Looks where the code is, and watches that. */
  #look(): void {
    try {
      const tree = new CodeTree(this.#path, this.#code, (folder) => this.#enter(folder))
      const matter = new Set(tree.folders)
      for (const folder of this.#folders.keys()) if (!matter.has(folder)) this.#leave(folder)
      if (this.#folders.size === 0) throw this.#unread
      this.#tree = tree
      this.#tellIfCut(tree)
    } catch (error) {
      this.#giveUp(error)
    }
  }

  #enter(folder: string): void {
    const known = this.#folders.get(folder)
    const identity = identityOf(folder)
    if (identity === undefined || (known !== undefined && !known.isGone && known.identity === identity)) return
    let watcher: FSWatcher
    try {
      // A folder: a file that is replaced is another one.
      watcher = watch(folder, { persistent: false })
    } catch (error) {
      // It has gone since, or others that may be read will do.
      if (identityOf(folder) === undefined) return
      if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
      this.#unread = error
      return
    }
    const watched = { watcher, identity, isGone: false }
    watcher.on('change', (kind, name) => this.#heard(folder, watched, kind, name?.toString()))
    watcher.on('error', (error) => this.#giveUp(error))
    this.#folders.set(folder, watched)
    known?.watcher.close()
  }

  #leave(folder: string): void {
    this.#folders.get(folder)?.watcher.close()
    this.#folders.delete(folder)
  }

  #heard(folder: string, watched: Watched, kind: string, name: string | undefined): void {
    // That is how the folder's own end is told, and what else has its name in it.
    const isItself = kind === 'rename' && name === basename(folder)
    if (isItself) watched.isGone = true
    const role = name === undefined ? 'way' : this.#tree?.roleOf(folder, name)
    if (role === 'file') this.#isTouched = true
    if (role === 'file' || isItself || (role === 'way' && kind === 'rename')) this.#wait(role === 'file')
    if (role === 'way' && name !== undefined) this.#suspect(join(folder, name))
  }

  /** A folder may have been replaced by another one of the same name and number. */
  #suspect(path: string): void {
    const watched = this.#folders.get(path)
    if (watched !== undefined) watched.isGone = true
  }

  /** @param isFile - others come and go on the way to the code, perhaps without end */
  #wait(isFile: boolean): void {
    // RELOAD 1 ask
    this.#changedAt = Date.now()
    if (isFile) clearTimeout(this.#timer)
    else if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => this.#act(), quiet).unref()
  }

  #act(): void {
    this.#timer = undefined
    const before = this.#tree
    this.#look()
    const isChanged = this.#isTouched || before === undefined || this.#tree?.equals(before) === false
    this.#isTouched = false
    if (isChanged && this.#tree !== undefined) this.#onChange(this.#changedAt)
  }

  #tellIfCut({ isCut }: CodeTree): void {
    if (!isCut || this.#isCut) return
    this.#isCut = true
    const message = `the guest at ${this.#path} has its code in more folders than are watched: ${advice}`
    process.emitWarning(message, 'PolyloopReload')
  }

  #giveUp(error: unknown): void {
    this.stop()
    // Of inotify there are so many instances, which count as files, and so many watches, which count as space.
    const why = `${reasonOf(error)}${refusalOf(error)?.code === 'overloaded' ? `; ${used}` : ''}`
    process.emitWarning(`the code of the guest at ${this.#path} is not watched: ${why}; ${advice}`, 'PolyloopReload')
  }

  stop(): void {
    clearTimeout(this.#timer)
    for (const folder of [...this.#folders.keys()]) this.#leave(folder)
    this.#tree = undefined
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
