// SPDX-License-Identifier: Apache-2.0
// Code that changes: a copy of a fixture in a folder of its own.
import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
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
  /** What it is to be loaded with. */
  readonly options: SubjectOptions & { readonly locator: string }

  constructor(language: Language) {
    onTestFinished(() => rmSync(this.#folder, { recursive: true, force: true }))
    const [, prefix = '', path = ''] = /^(\w+:)?(.*)$/s.exec(language.locate()) ?? []
    this.#from = path
    this.#path = join(this.#folder, basename(path))
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
    const fresh = join(this.#folder, 'code.fresh')
    copyFileSync(this.#from, fresh)
    renameSync(fresh, this.#path)
  }
}
