// SPDX-License-Identifier: Apache-2.0
import { type Dirent, lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, sep } from 'node:path'

/** Folders of a guest's that are looked at, at most: those nearest to its file. */
const mostFolders = 256
/** Links that a path leads over, at most, as the kernel has it. */
const mostLinks = 40

/** Which files belong to a guest beside the one that is loaded, by their names. */
export interface OwnCode {
  isFile(name: string): boolean
  /** Of a folder, or of a link to one: whether there may be such files in it. */
  isFolder(name: string): boolean
  /** A file by which a folder is told that holds other code, whatever its name. */
  readonly foreign?: string
}

/** What a name in a folder is to a guest's code: a file of it, or a link or folder on the way to one. */
type Role = 'file' | 'way'

/** Where a guest's code is, as the links lead there at one time. */
export class CodeTree {
  /** The names that matter in each folder, by the folder's real path. */
  readonly #names = new Map<string, Map<string, Role>>()
  /** Real paths of folders all of whose code belongs to the guest. */
  readonly #own = new Set<string>()
  /** Files by the paths that the guest knows them by, and which files those are. */
  readonly #files = new Map<string, string>()
  readonly #code: OwnCode | undefined
  readonly #enter: (folder: string) => void
  /** Whether there are more folders than are looked at. */
  isCut = false

  /**
   * @param path - the file that is loaded
   * @param code - what else belongs to the guest, in the file's folder and below it
   * @param enter - called with the real path of each folder where something matters, before anything in it is looked at
   */
  constructor(path: string, code: OwnCode | undefined, enter: (folder: string) => void) {
    this.#code = code
    this.#enter = enter
    this.#files.set(path, identityOf(path))
    const folder = this.#follow(dirname(path))
    if (folder !== undefined) {
      // Another one may come in its place.
      if (folder !== sep) this.#matters(dirname(folder), basename(folder), 'way')
      if (code !== undefined) this.#visit(folder)
    }
    this.#follow(path, 'file')
    // Of before and after it was known what matters, as all others: what has changed between is told of.
    this.#files.set(path, identityOf(path))
  }

  get folders(): Iterable<string> {
    return this.#names.keys()
  }

  /** Whether something in a folder that has this name is code, or leads to some; undefined if it does not matter. */
  roleOf(folder: string, name: string): Role | undefined {
    const role = this.#names.get(folder)?.get(name)
    if (role === 'file' || !this.#own.has(folder)) return role
    if (this.#code?.isFile(name)) return 'file'
    return role ?? (this.#code?.isFolder(name) ? 'way' : undefined)
  }

  /** Whether the guest would find the same files. */
  equals(other: CodeTree): boolean {
    const files = [...other.#files]
    return files.length === this.#files.size && files.every(([path, identity]) => this.#files.get(path) === identity)
  }

  /** Whether it was not known before that the name matters. */
  #matters(folder: string, name: string, role: Role): boolean {
    const known = this.#names.get(folder)
    if (known === undefined) this.#names.set(folder, new Map([[name, role]]))
    else if (known.get(name) === role || known.get(name) === 'file') return false
    else known.set(name, role)
    if (known === undefined) this.#enter(folder)
    return true
  }

  /**
   * Goes where a path leads: all links on the way matter, and the first part that does not exist.
   *
   * @param end - what the last part is, if that matters by itself
   * @returns the real path; undefined if there is nothing
   */
  #follow(path: string, end?: Role): string | undefined {
    const rest = path.split(sep).filter((part) => part !== '')
    let links = 0
    let at: string = sep
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      if (part === '.') continue
      if (part === '..') {
        at = dirname(at)
        continue
      }
      const next = join(at, part)
      if (end !== undefined && rest.length === 0) this.#matters(at, part, end)
      const kind = kindOf(next)
      if (kind === 'link' || kind === undefined) {
        // Looked at again once it matters: it may have changed before.
        if (this.#matters(at, part, 'way')) rest.unshift(part)
        else if (kind === undefined || ++links > mostLinks) return undefined
        else {
          const target = targetOf(next)
          rest.unshift(...target.split(sep).filter((one) => one !== ''))
          if (isAbsolute(target)) at = sep
        }
      } else at = next
    }
    return at
  }

  /** Looks for code of the guest's own in a folder and, level by level, below it. */
  #visit(top: string): void {
    const { foreign } = this.#code as OwnCode
    let count = 0
    const waiting = [top]
    for (let folder = waiting.shift(); folder !== undefined; folder = waiting.shift()) {
      if (this.#own.has(folder)) continue
      if (count === mostFolders) {
        this.isCut = true
        return
      }
      if (!this.#names.has(folder)) {
        this.#names.set(folder, new Map())
        this.#enter(folder)
      }
      const entries = entriesOf(folder)
      if (folder !== top && entries.some(({ name }) => name === foreign)) continue
      count++
      this.#own.add(folder)
      for (const entry of entries) {
        const found = this.#look(folder, entry)
        if (found !== undefined) waiting.push(found)
      }
    }
  }

  /** Returns the folder that an entry is, or leads to, if there may be code in it. */
  #look(folder: string, entry: Dirent): string | undefined {
    const { isFile, isFolder } = this.#code as OwnCode
    const { name } = entry
    const path = join(folder, name)
    const [mayBeFile, mayBeFolder] = [isFile(name), isFolder(name)]
    if (!mayBeFile && !mayBeFolder) return undefined
    let real: string | undefined = path
    if (entry.isSymbolicLink()) {
      real = this.#follow(path, mayBeFile ? 'file' : undefined)
    }
    if (real === undefined) return undefined
    if (kindOf(real) === 'folder') return mayBeFolder ? real : undefined
    if (mayBeFile) this.#files.set(path, identityOf(path))
    return undefined
  }
}

function kindOf(path: string): 'link' | 'folder' | 'other' | undefined {
  try {
    const stats = lstatSync(path)
    if (stats.isSymbolicLink()) return 'link'
    return stats.isDirectory() ? 'folder' : 'other'
  } catch {
    return undefined
  }
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link)
  } catch {
    return '.'
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    return []
  }
}

/** Tells a file from another one of the same name, and from what it held before. */
function identityOf(path: string): string {
  try {
    const { dev, ino, mtimeNs } = statSync(path, { bigint: true })
    return `${dev}:${ino}:${mtimeNs}`
  } catch {
    return ''
  }
}
