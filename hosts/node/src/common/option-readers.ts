// SPDX-License-Identifier: Apache-2.0
// Readers of options: each checks a value that a caller gave, and says what is wanted if the value is wrong.
import { readFrom } from './call-back.ts'
import { PolyloopError } from './errors.ts'
import { reasonOf } from './reasons.ts'
import { hrefOf, pathOf } from './urls.ts'

/** @throws invalid-argument, with the option's name and what it takes */
export type Read<T> = (value: unknown, name: string) => T

/** What the reference says of an option, or of a part of one. */
export interface Described<T> {
  /** Checks a value that was given. */
  readonly read: Read<T>
  readonly default: T
  /** The default in words, if it is not to be shown as it is. */
  readonly shownDefault?: string
  /** One or two sentences for docs/reference/options.md, which is written from them. */
  readonly doc: string
}

export function refuse(name: string, wanted: string): never {
  throw new PolyloopError('invalid-argument', `${name} is not ${wanted}`)
}

/**
 * Reads options that a caller gave in an object.
 *
 * @param of - whose options they are, for messages
 * @param known - has a property for each option that there is
 * @param read - reads them, each once: a getter may answer otherwise the next time
 * @throws invalid-argument for what is no object, has what is no option, or cannot be read
 */
export function readOptions<Given, Options>(
  of: string,
  known: Readonly<Record<keyof Given & string, unknown>>,
  given: Given,
  read: (given: Given) => Options,
): Options {
  if (typeof given !== 'object' || given === null) {
    const all = Object.keys(known).join(', ')
    throw new PolyloopError('invalid-argument', `the options of ${of} are not an object: pass { ${all} }`)
  }
  return readFrom(`an option of ${of}`, () => {
    for (const name of Object.keys(given)) if (!Object.hasOwn(known, name)) refuseName(of, known, name)
    return read(given)
  })
}

function refuseName(of: string, known: object, name: string): never {
  const names = Object.keys(known)
  return refuse(name, `an option of ${of}: there ${names.length > 1 ? 'are' : 'is'} ${names.join(', ')}`)
}

export function integer(least: number, most: number): Read<number> {
  return (value, name) => {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
    return refuse(name, `an integer from ${least} to ${most}`)
  }
}

/** An integer for which null, too, means the default. */
export function integerOr(
  fallback: number,
  least: number,
  most: number,
): { readonly read: Read<number>; readonly default: number } {
  const read = integer(least, most)
  return { read: (value, name) => (value === null ? fallback : read(value, name)), default: fallback }
}

export function boolean(value: unknown, name: string): boolean {
  return typeof value === 'boolean' ? value : refuse(name, 'true or false')
}

export function oneOf<const Word extends string>(...words: readonly Word[]): Read<Word> {
  const wanted = words.map((word) => `'${word}'`).join(' or ')
  return (value, name) => words.find((word) => word === value) ?? refuse(name, wanted)
}

/** What the function takes is not seen from outside. */
export function callback<T>(value: unknown, name: string): T {
  return typeof value === 'function' ? (value as T) : refuse(name, 'a function')
}

export function path(value: unknown, name: string): string {
  const url = hrefOf(value) ?? (typeof value === 'string' && value.startsWith('file:') ? value : undefined)
  const found = url === undefined ? value : pathOf(url)
  return typeof found === 'string' && found !== '' && !found.includes('\0')
    ? found
    : refuse(name, 'a path or a file URL')
}

/** Whether, or a name. */
export function booleanOrName(value: unknown, name: string): boolean | string {
  if (typeof value === 'boolean' || (typeof value === 'string' && value !== '')) return value
  return refuse(name, 'true, false or a name')
}

/** The value as a text of JSON. */
export function json(value: unknown, name: string): string {
  try {
    const text = JSON.stringify(value)
    if (text !== undefined) return text
  } catch (cause) {
    const message = `${name} cannot be written as JSON: ${reasonOf(cause)}`
    throw new PolyloopError('invalid-argument', message, { cause })
  }
  return refuse(name, 'something that JSON can carry')
}
