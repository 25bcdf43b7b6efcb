// SPDX-License-Identifier: Apache-2.0
// Makes JSON of values that are not plain: a skeleton with tags, and bytes beside it. Says of what it cannot make where it
// stands, and what to do.
import { types } from 'node:util'
import { bytesOf, isLittleEndian, NdArray, type NumberArray, numberType } from './arrays.ts'
import { type Attachment, bytesAt, numbersAt, pack } from './envelope.ts'
import { Keywords } from './keywords.ts'
import { deepest, isObjectPrototype, isPackable, isPlain, isPlainNumber, tagKey } from './plain.ts'

/** A value that nothing carries. */
export class UnfitValue extends TypeError {
  override readonly name = 'UnfitValue'

  /** @param what - what it is, where it stands, and what to do instead */
  constructor(what: string, path: string, advice: string) {
    super(`${what} at ${path}: ${advice}`)
  }
}

/**
 * A value as it travels: a JSON text, or an envelope.
 *
 * @param isList - whether it is a list of arguments, so that paths begin with the argument's number
 * @param isJsonOnly - whether the guest reads JSON alone: what needs more is refused
 * @throws UnfitValue; RangeError if the text would be too long
 */
export function encodeValue(value: unknown, isList: boolean, isJsonOnly = false): string | Uint8Array {
  if (isPlain(value)) return JSON.stringify(value)
  const skeleton = new Skeleton(isList ? (value as unknown[]).length - 1 : undefined, isJsonOnly)
  const text = JSON.stringify(skeleton.of(value))
  return skeleton.isPlain ? text : pack(text, skeleton.attachments)
}

/** What needs a tag. */
const tagged = {
  a: 'an array of numbers',
  b: 'bytes',
  d: 'a Date',
  i: 'a bigint',
  k: 'arguments by name',
  l: 'a long list of numbers',
  m: 'a Map',
  n: 'a number that is not finite',
  o: 'an object of pairs',
  s: 'a Set',
  u: 'undefined',
} as const

/** What is no data, though JSON would make something of it, and what to do; undefined if it is none of that. */
export function notData(value: object): readonly [what: string, advice: string] | undefined {
  const { then } = value as { then?: unknown }
  if (typeof then === 'function') return ['a promise', 'await it']
  if (types.isNativeError(value)) return ['an Error', 'pass its message']
  if (types.isRegExp(value)) return ['a RegExp', 'pass its source']
  const { [Symbol.iterator]: iterator, [Symbol.asyncIterator]: asyncIterator } = value as Partial<
    AsyncIterable<unknown> & Iterable<unknown>
  >
  if (typeof asyncIterator === 'function') return ['a stream', 'pass it as the last argument, by itself']
  if (typeof iterator !== 'function') return undefined
  return [`an iterable (${nameOf(value)})`, 'pass [...it], or Object.fromEntries(it)']
}

/** What is to be said of a date that is none. */
export const invalidDate: readonly [what: string, advice: string] = ['an invalid Date', 'pass a valid one, or null']

type Tagged = { readonly [tagKey]: readonly unknown[] }

class Skeleton {
  readonly attachments: Attachment[] = []
  /** Whether nothing was tagged: the text is JSON that anybody reads. */
  isPlain = true
  /** The number of the last argument, if this is a list of arguments. */
  readonly #last: number | undefined
  readonly #isJsonOnly: boolean
  readonly #path: (string | number)[] = []
  readonly #ancestors = new Set<object>()

  constructor(last: number | undefined, isJsonOnly: boolean) {
    this.#last = last
    this.#isJsonOnly = isJsonOnly
  }

  of(value: unknown): unknown {
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value
      case 'number':
        if (isPlainNumber(value)) return value
        // The same number, for whoever reads JSON alone.
        if (value === 0) return this.#isJsonOnly ? 0 : this.#tag('n', '-0')
        return this.#tag('n', String(value))
      case 'bigint':
        return this.#tag('i', value < 0n ? `-${(-value).toString(16)}` : value.toString(16))
      case 'undefined':
        return this.#tag('u')
      case 'object':
        return value === null ? null : this.#object(value)
      default:
        throw this.#unfit(`a ${typeof value}`, 'pass plain data')
    }
  }

  #tag(kind: keyof typeof tagged, ...parts: readonly unknown[]): Tagged {
    if (this.#isJsonOnly) throw this.#unfit(tagged[kind], 'this guest reads JSON alone, pass what that carries')
    this.isPlain = false
    return { [tagKey]: [kind, ...parts] }
  }

  #object(value: object): unknown {
    const bytes = this.#bytes(value)
    if (bytes !== undefined) return bytes
    if (this.#ancestors.has(value)) throw this.#unfit('a cycle', 'pass a value that does not hold itself')
    if (this.#path.length > deepest) {
      throw this.#unfit(`a value below ${deepest} others`, 'nest less deeply')
    }
    if (value instanceof Keywords) return this.#keywords(value)
    this.#ancestors.add(value)
    const made = this.#structure(value)
    this.#ancestors.delete(value)
    return made
  }

  #structure(value: object): unknown {
    if (Array.isArray(value)) return this.#array(value)
    if (types.isMap(value)) return this.#tag('m', this.#pairs([...value]))
    if (types.isSet(value)) return this.#tag('s', this.#list([...value]))
    if (types.isDate(value)) return this.#date(value)
    if (types.isBoxedPrimitive(value)) return this.of(value.valueOf())
    const refusal = notData(value)
    if (refusal !== undefined) throw this.#unfit(...refusal)
    const { toJSON } = value as { toJSON?: unknown }
    if (typeof toJSON === 'function') return this.of(toJSON.call(value, ''))
    return this.#properties(value)
  }

  #keywords({ values }: Keywords): Tagged {
    if (this.#path.length !== 1 || this.#path[0] !== this.#last)
      throw this.#unfit('kw()', 'pass it as the last argument')
    const given = Object.entries(values).filter(([, value]) => value !== undefined)
    return this.#tag(
      'k',
      given.flatMap(([key, value]) => [key, this.#below(key, value)]),
    )
  }

  #bytes(value: object): Tagged | undefined {
    if (value instanceof NdArray) return this.#numbers(value.data, value.shape)
    if (ArrayBuffer.isView(value) && !types.isUint8Array(value) && !types.isDataView(value)) {
      return this.#numbers(value as NumberArray)
    }
    const isBytes = ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)
    return isBytes ? this.#attach('b', value, bytesAt) : undefined
  }

  #numbers(data: NumberArray, shape?: readonly number[]): Tagged {
    const type = numberType(data)
    if (type === undefined || !isLittleEndian) throw this.#unfit(nameOf(data), 'pass bytes')
    return this.#attach('a', data, numbersAt, type, shape ?? [data.length])
  }

  #attach(
    kind: 'a' | 'b' | 'l',
    value: ArrayBufferView | ArrayBufferLike,
    at: Attachment['at'],
    ...more: readonly unknown[]
  ): Tagged {
    return this.#tag(kind, this.attachments.push({ bytes: this.#view(value), at }) - 1, ...more)
  }

  #view(value: ArrayBufferView | ArrayBufferLike): Uint8Array {
    try {
      return bytesOf(value)
    } catch {
      throw this.#unfit('detached bytes', 'their memory was transferred before the call')
    }
  }

  #array(values: readonly unknown[]): unknown {
    // A list of arguments is one of places: it stays a list.
    const isArguments = this.#last !== undefined && this.#path.length === 0
    if (!isArguments && !this.#isJsonOnly && isLittleEndian && isPackable(values)) {
      return this.#attach('l', Float64Array.from(values), numbersAt)
    }
    for (let index = 0; index < values.length; index++) {
      if (index in values) continue
      this.#path.push(index)
      throw this.#unfit('a hole', 'fill it')
    }
    return this.#list(values)
  }

  #list(values: readonly unknown[]): unknown[] {
    return values.map((value, index) => this.#below(index, value))
  }

  #pairs(pairs: readonly (readonly [unknown, unknown])[]): unknown[] {
    return pairs.flatMap(([key, value], index) => [
      this.#below(`key ${index}`, key),
      this.#below(typeof key === 'string' || typeof key === 'number' ? key : `value ${index}`, value),
    ])
  }

  #date(date: Date): Tagged {
    const time = Number(date)
    if (Number.isNaN(time)) throw this.#unfit(...invalidDate)
    return this.#tag('d', time)
  }

  /** Its own data; undefined is left out. */
  #properties(value: object): unknown {
    const values = value as Readonly<Record<string, unknown>>
    const keys = Object.keys(values).filter((key) => values[key] !== undefined)
    if (keys.length === 0 && !isData(value)) {
      throw this.#unfit(`an instance of ${nameOf(value)} without data of its own`, 'pass plain data')
    }
    if (Object.hasOwn(values, tagKey) && !this.#isJsonOnly) {
      return this.#tag(
        'o',
        keys.flatMap((key) => [key, this.#below(key, values[key])]),
      )
    }
    // An object without a prototype, so that `__proto__` is a key like others.
    const made = Object.create(null) as Record<string, unknown>
    for (const key of keys) made[key] = this.#below(key, values[key])
    return made
  }

  #below(key: string | number, value: unknown): unknown {
    this.#path.push(key)
    const made = this.of(value)
    this.#path.pop()
    return made
  }

  #unfit(what: string, advice: string): UnfitValue {
    const [first, ...rest] = this.#path
    const isList = this.#last !== undefined
    const argument = isList ? Number(first ?? 0) + 1 : 1
    const steps = isList || first === undefined ? rest : this.#path
    return new UnfitValue(what, `argument ${argument}${steps.map(step).join('')}`, advice)
  }
}

/** The way from a value to one in it, as one would write it. */
function step(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key.slice(0, 50))}]`
}

/** A plain object may be empty; an instance of a class that is, holds its data where nobody sees it. */
function isData(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || isObjectPrototype(prototype)
}

function nameOf(value: object): string {
  const { constructor: made } = value as { constructor?: unknown }
  return typeof made === 'function' && made.name !== '' ? made.name : 'Object'
}
