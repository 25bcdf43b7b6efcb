// SPDX-License-Identifier: Apache-2.0
import type { Reads } from './codec.ts'
import { PolyloopError } from './errors.ts'
import { rawMethod } from './layout.ts'
import { reasonOf } from './reasons.ts'
import { isTexts } from './words.ts'

/** Warnings of a guest that are heard, and their characters: a guest could fill the host's stderr with them. */
const [mostWarnings, longestWarning] = [8, 1000]

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
  /** What whoever runs the host should know. */
  readonly warnings: readonly string[]
  /** Whether its functions take arguments by name. */
  readonly takesKeywords: boolean
  /** What it can read beside what its codec says. */
  readonly reads: Reads
  /** The number of the function that `send` calls, if there is one. */
  readonly handle: number | undefined
  readonly #numbers: ReadonlyMap<string, number>

  /** @throws protocol if the text is no manifest; the message says why */
  constructor(text: string) {
    const { methods, info, warnings, reads, takesKeywords } = read(text)
    this.text = text
    this.methods = methods
    this.info = info
    this.warnings = warnings
    this.reads = reads
    this.takesKeywords = takesKeywords
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

function read(text: string): Pick<Manifest, 'methods' | 'info' | 'warnings' | 'reads' | 'takesKeywords'> {
  const { methods, info = {}, warnings, envelope, keywords } = objectOf(parse(text), 'it')
  if (!Array.isArray(methods)) throw wrong('methods is not an array')
  if (methods.length >= rawMethod) {
    throw wrong(`it declares ${methods.length} functions, and a guest has ${rawMethod - 1} at most`)
  }
  // What is no object tells nothing.
  const heard = (isTexts(warnings) ? warnings : []).slice(0, mostWarnings).map((text) => text.slice(0, longestWarning))
  return {
    methods: methods.map(toMethod),
    info: isObject(info) ? info : {},
    warnings: heard,
    // The version of the form that its kit knows.
    reads: envelope === 1 ? 'envelope' : 'json',
    takesKeywords: keywords === true,
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw wrong(reasonOf(cause), cause)
  }
}

/** Field by field: nothing else that a guest writes there reaches the caller. */
function toMethod(value: unknown, index: number): Method {
  const what = `function ${index}`
  const { name, params, async, stream, input } = objectOf(value, what)
  if (typeof name !== 'string') throw wrong(`${what} has no name`)
  if (params !== undefined && params !== null && !isTexts(params)) throw wrong(`the params of ${what} are not texts`)
  return {
    name,
    ...(isTexts(params) && { params }),
    ...(typeof async === 'boolean' && { async }),
    ...(typeof stream === 'boolean' && { stream }),
    ...(typeof input === 'boolean' && { input }),
  }
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (isObject(value)) return value
  throw wrong(`${what} is not an object`)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function wrong(why: string, cause?: unknown): PolyloopError {
  return new PolyloopError('protocol', why, cause === undefined ? {} : { cause })
}
