// SPDX-License-Identifier: Apache-2.0
import { types } from 'node:util'
import { Decoder, Encoder } from '@msgpack/msgpack'
import type { Codec } from './common/codec.ts'
import { invalidDate, notData, UnfitValue } from './values/skeleton.ts'

const encoder = new Encoder({ useBigInt64: true })
// Only what has 64 bits on the wire: most of that is a number all the same.
const decoder = new Decoder({ useBigInt64: true })

/**
 * MessagePack, by \@msgpack/msgpack: `load(..., { codec: msgpack })`. Python guests need the package msgpack. What it would
 * make something else of (Maps, Sets, promises, arrays of numbers, integers beyond 64 bits) is refused.
 */
export const msgpack: Codec = {
  name: 'msgpack',
  encode: (value) => {
    look(value, [])
    return encoder.encode(value)
  },
  decode: (bytes) => toNumbers(decoder.decode(bytes)),
}

/** Goes through a value before it is encoded, which looks at less. Cycles are the encoder's to refuse, by their depth. */
function look(value: unknown, path: (string | number)[]): void {
  if (typeof value === 'bigint') {
    if (value >= -(2n ** 63n) && value < 2n ** 64n) return
    throw unfit(path, 'an integer beyond 64 bits', 'pass it as a text')
  }
  if (typeof value !== 'object' || value === null || path.length > 100) return
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) below(index, value[index], path)
    return
  }
  if (types.isDate(value)) {
    if (Number.isNaN(Number(value))) throw unfit(path, ...invalidDate)
    return
  }
  if (ArrayBuffer.isView(value)) {
    if (types.isUint8Array(value)) return
    throw unfit(path, 'an array of numbers', 'pass its bytes, or use the default codec')
  }
  if (types.isAnyArrayBuffer(value)) throw unfit(path, 'an ArrayBuffer', 'pass a Uint8Array of it')
  const refusal = notData(value)
  if (refusal !== undefined) throw unfit(path, ...refusal)
  for (const key of Object.keys(value)) below(key, (value as Readonly<Record<string, unknown>>)[key], path)
}

function below(key: string | number, value: unknown, path: (string | number)[]): void {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'bigint') return
  path.push(key)
  look(value, path)
  path.pop()
}

function unfit(path: readonly (string | number)[], what: string, advice: string): UnfitValue {
  return new UnfitValue(what, ['the arguments', ...path].join('.'), advice)
}

/** Integers as far as a number holds them. */
function toNumbers(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const one: unknown = value[index]
      if (typeof one === 'object' || typeof one === 'bigint') value[index] = toNumbers(one)
    }
  } else if (!ArrayBuffer.isView(value) && !types.isDate(value)) {
    const object = value as Record<string, unknown>
    for (const key of Object.keys(object)) {
      const one = object[key]
      if (typeof one === 'object' || typeof one === 'bigint') object[key] = toNumbers(one)
    }
  }
  return value
}
