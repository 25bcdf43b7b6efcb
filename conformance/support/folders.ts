// SPDX-License-Identifier: Apache-2.0
// Code that changes: a copy of a fixture in a folder of its own.
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { SubjectOptions } from '../hosts/node.ts'
import type { Language } from '../languages.ts'

/** A fixture that is there in versions: the code is the same, and says of itself what its version's file holds. */
export class Code {
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'polyloop-conformance-'))
  readonly #from: string
  readonly #path: string
  readonly #isLinked: boolean
  #releases = 0
  /** What it is to be loaded with. */
  readonly options: SubjectOptions & { readonly locator: string }

  /** @param isLinked - whether each version has a folder of its own, which a link on the way to the code leads to */
  constructor(language: Language, isLinked = false) {
    onTestFinished(() => rmSync(this.#folder, { recursive: true, force: true }))
    const [, prefix = '', path = ''] = /^(\w+:)?(.*)$/s.exec(language.locate()) ?? []
    this.#from = path
    this.#isLinked = isLinked
    this.#path = join(this.#folder, isLinked ? 'current' : '', basename(path))
    const config = { version: join(this.#folder, 'version'), failsWith: join(this.#folder, 'failure') }
    this.options = { locator: `${prefix}${this.#path}`, config }
    this.become('1')
  }

  /** Writes a version. */
  become(version: string): void {
    this.#put('version', version)
    this.#touch()
  }

  /** Writes a version that does not start. */
  break(): void {
    this.#put('failure', '')
    this.#touch()
  }

  /** Writes one that does again. */
  mend(version: string): void {
    rmSync(join(this.#folder, 'failure'))
    this.become(version)
  }

  /** At once, as editors do it: a reload may be under way. */
  #put(name: string, text: string): void {
    const fresh = join(this.#folder, `${name}.fresh`)
    writeFileSync(fresh, text)
    renameSync(fresh, join(this.#folder, name))
  }

  /** Whoever watches the code sees that it has changed. */
  #touch(): void {
    if (this.#isLinked) {
      this.#release()
      return
    }
    const fresh = join(this.#folder, 'code.fresh')
    copyFileSync(this.#from, fresh)
    renameSync(fresh, this.#path)
  }

  #release(): void {
    const name = `release-${++this.#releases}`
    mkdirSync(join(this.#folder, name))
    copyFileSync(this.#from, join(this.#folder, name, basename(this.#path)))
    const fresh = join(this.#folder, 'link.fresh')
    symlinkSync(name, fresh)
    renameSync(fresh, join(this.#folder, 'current'))
  }
}
