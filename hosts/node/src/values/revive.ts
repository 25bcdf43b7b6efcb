// SPDX-License-Identifier: Apache-2.0
// Makes values of envelopes: the other way of skeleton.ts. What is read here a guest has written, so all of it is looked at.
import { NdArray, toNumbers } from './arrays.ts'
import { unpack } from './envelope.ts'
import { tagKey } from './plain.ts'

/** Levels of JSON: each value takes up to three with its tag. */
const deepest = 1000

/** Bytes up to here are copies, and do not keep the memory that they came in. */
const mostCopied = 1024

/** Numbers up to here, likewise: a view costs as much as the copy. */
const mostNumbersCopied = 16_384

/** How the bytes of an envelope may be used. */
export interface Reading {
  /** Reads the text between two bytes. */
  text(from: number, to: number): string
  /** Whether what is made may be views of them. */
  readonly isKept: boolean
}

/**
 * The value in an envelope.
 *
 * @throws if it is none
 */
export function reviveEnvelope(payload: Buffer, reading: Reading): unknown {
  const { text, attachments } = unpack(payload)
  const parsed = JSON.parse(reading.text(...text)) as unknown
  return new Reviver(payload, attachments, reading.isKept).of(parsed, 0)
}

class Reviver {
  readonly #payload: Buffer
  readonly #places: readonly (readonly [number, number])[]
  readonly #isKept: boolean

  constructor(payload: Buffer, places: readonly (readonly [number, number])[], isKept: boolean) {
    this.#payload = payload
    this.#places = places
    this.#isKept = isKept
  }

  of(value: unknown, level: number): unknown {
    if (typeof value !== 'object' || value === null) return value
    if (level > deepest) throw new RangeError(`it is nested more than ${deepest} times`)
    if (Array.isArray(value)) return this.#list(value, level)
    const object = value as Record<string, unknown>
    if (Object.hasOwn(object, tagKey)) return this.#tagged(object, level)
    for (const key of Object.keys(object)) {
      const one = object[key]
      if (typeof one === 'object' && one !== null) define(object, key, this.of(one, level + 1))
    }
    return object
  }

  #list(values: unknown[], level: number): unknown[] {
    for (let index = 0; index < values.length; index++) {
      const one = values[index]
      if (typeof one === 'object' && one !== null) values[index] = this.of(one, level + 1)
    }
    return values
  }

  #tagged(object: Record<string, unknown>, level: number): unknown {
    const parts = object[tagKey]
    if (Object.keys(object).length !== 1 || !Array.isArray(parts)) throw new TypeError('a tag of it is none')
    const [kind, first, second, third] = parts as unknown[]
    switch (kind) {
      case 'b':
        return this.#bytes(first)
      case 'a':
        return this.#numbers(first, second, third)
      case 'l':
        return Array.from(toNumbers('<f8', this.#place(first), false) as Float64Array)
      case 'i':
        return toInteger(first)
      case 'n':
        return toNumber(first)
      case 'd':
        return toDate(first)
      case 'm':
        return new Map(pairs(this.#list(toList(first), level)))
      case 's':
        return new Set(this.#list(toList(first), level))
      case 'o':
        return toObject(pairs(this.#list(toList(first), level)))
      case 'u':
        return undefined
      default:
        throw new TypeError(`it has a value of a kind that is not known here: ${String(kind).slice(0, 20)}`)
    }
  }

  #place(index: unknown): Buffer {
    const place = typeof index === 'number' ? this.#places[index] : undefined
    if (place === undefined) throw new RangeError('it has no such attachment')
    return this.#payload.subarray(...place)
  }

  #bytes(index: unknown): Buffer {
    const bytes = this.#place(index)
    return this.#isKept && bytes.length > mostCopied ? bytes : Buffer.from(bytes)
  }

  #numbers(index: unknown, type: unknown, shape: unknown): unknown {
    const bytes = this.#place(index)
    const data = toNumbers(String(type), bytes, this.#isKept && bytes.length > mostNumbersCopied)
    if (!Array.isArray(shape) || !shape.every((one) => typeof one === 'number'))
      throw new TypeError('an array has no shape')
    const [length] = shape
    if (shape.length !== 1) return new NdArray(data, shape)
    if (length !== data.length) throw new RangeError(`an array of ${data.length} numbers has a length of ${length}`)
    return data
  }
}

/** As JSON.parse does: `__proto__` is a key like others. */
function define(object: object, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  } else (object as Record<string, unknown>)[key] = value
}

function toList(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new TypeError('a tag of it has no list')
  return value
}

function pairs(list: readonly unknown[]): [unknown, unknown][] {
  if (list.length % 2 !== 0) throw new TypeError('it has a key without a value')
  return Array.from({ length: list.length / 2 }, (_, index) => [list[2 * index], list[2 * index + 1]])
}

function toObject(entries: readonly (readonly [unknown, unknown])[]): object {
  const object = {}
  for (const [key, value] of entries) define(object, String(key), value)
  return object
}

function toInteger(hex: unknown): bigint {
  const [, sign, digits] = /^(-?)([0-9a-f]+)$/.exec(String(hex)) ?? []
  if (digits === undefined) throw new TypeError('an integer of it is none')
  const value = BigInt(`0x${digits}`)
  return sign === '' ? value : -value
}

const notFinite: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  '-0': -0,
}

function toNumber(text: unknown): number {
  const value = typeof text === 'string' && Object.hasOwn(notFinite, text) ? notFinite[text] : undefined
  if (value === undefined) throw new TypeError('a number of it is none')
  return value
}

function toDate(time: unknown): Date {
  const date = new Date(typeof time === 'number' ? time : Number.NaN)
  if (Number.isNaN(Number(date))) throw new RangeError('a date of it is none that this side has')
  return date
}
