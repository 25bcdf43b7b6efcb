// SPDX-License-Identifier: Apache-2.0
import { rawMethod } from './layout.ts'

/** A function of the guest, as its manifest declares it. */
export interface Method {
  readonly name: string
  /** Names of the parameters, if the guest's language tells. */
  readonly params?: readonly string[]
  readonly async?: boolean
  /** Whether it answers with a stream of items: call it with `stream`. */
  readonly stream?: boolean
  /** Whether its last argument is a stream. */
  readonly input?: boolean
}

/** What a guest declares of itself. */
export class Manifest {
  readonly text: string
  readonly methods: readonly Method[]
  readonly info: Readonly<Record<string, unknown>>
  /** The number of the function that `send` calls, if there is one. */
  readonly handle: number | undefined
  readonly #numbers: ReadonlyMap<string, number>

  /** @throws if the text is no manifest */
  constructor(text: string) {
    const { methods, info } = JSON.parse(text) as { methods: readonly Method[]; info?: Record<string, unknown> }
    if (!Array.isArray(methods)) throw new TypeError('methods is not an array')
    if (methods.length >= rawMethod) throw new RangeError(`a guest has ${rawMethod - 1} functions at most`)
    for (const method of methods as readonly (Method | null)[]) {
      if (typeof method?.name !== 'string') throw new TypeError('a method has no name')
    }
    this.text = text
    this.methods = methods
    this.info = info ?? {}
    this.#numbers = new Map(methods.map(({ name }, index) => [name, index]))
    this.handle = methods.length === 0 ? rawMethod : this.number('handle')
  }

  /** The number that a function has in entries. */
  number(name: string): number | undefined {
    return this.#numbers.get(name)
  }

  /** The number here of what has this number in another manifest. */
  translate(number: number, other: Manifest): number | undefined {
    if (number === rawMethod) return this.handle
    const method = other.methods[number]
    return method === undefined ? undefined : this.number(method.name)
  }
}
