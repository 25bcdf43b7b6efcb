// SPDX-License-Identifier: Apache-2.0
// Whether a value is what JSON says of it: most are, and then JSON.stringify makes the text.

/** Levels that a value may be nested: serde_json reads no more. */
export const deepest = 127

/** The key of tags. An object of the caller's that has it travels as pairs. */
export const tagKey = '~'

/** The prototype of plain objects of another realm (a test runner's, say) that was seen last. */
let foreign: object | null = null

/** Whether it is the prototype of objects of some realm. */
export function isObjectPrototype(prototype: object): boolean {
  if (prototype === Object.prototype || prototype === foreign) return true
  if (Object.getPrototypeOf(prototype) !== null || !Object.hasOwn(prototype, 'isPrototypeOf')) return false
  foreign = prototype
  return true
}

/**
 * Whether JSON carries a value as it is. Undefined as a property is left out by both; anywhere else it is not plain.
 * Never throws, but for what a getter throws.
 */
export function isPlain(value: unknown, level = 0): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return isPlainNumber(value)
    case 'object':
      if (value === null) return true
      return level < deepest && (Array.isArray(value) ? isPlainArray(value, level) : isPlainObject(value, level))
    default:
      return false
  }
}

/** Neither NaN, nor infinite, nor -0, which JSON writes as null or 0. */
export function isPlainNumber(value: number): boolean {
  return value - value === 0 && (value !== 0 || 1 / value > 0)
}

/** Lists of numbers from this length on may travel packed, see `isPackable`. */
const shortestPacked = 64

// The leaves are looked at in the loops: calls for them would cost as much as all the rest.
function isPlainArray(values: readonly unknown[], level: number): boolean {
  const { length } = values
  if (length >= shortestPacked && isFraction(values[0])) return false
  for (let index = 0; index < length; index++) {
    const value = values[index]
    switch (typeof value) {
      case 'string':
      case 'boolean':
        break
      case 'number':
        if (value - value !== 0 || (value === 0 && 1 / value < 0)) return false
        break
      default:
        if (typeof value !== 'object' || (value !== null && !isPlain(value, level + 1))) return false
    }
  }
  return true
}

function isPlainObject(object: object, level: number): boolean {
  const prototype: unknown = Object.getPrototypeOf(object)
  if (prototype !== null && !isObjectPrototype(prototype as object)) return false
  const values = object as Readonly<Record<string, unknown>>
  for (const key in values) {
    const value = values[key]
    switch (typeof value) {
      case 'string':
      case 'boolean':
      case 'undefined':
        break
      case 'number':
        if (value - value !== 0 || (value === 0 && 1 / value < 0)) return false
        break
      default:
        if (typeof value !== 'object' || (value !== null && !isPlain(value, level + 1))) return false
    }
    if (key === tagKey) return false
  }
  return true
}

/** A number with a fraction: a list that begins with one is likely one of measurements. */
function isFraction(value: unknown): boolean {
  return typeof value === 'number' && !Number.isInteger(value)
}

/** Whether a list travels as packed numbers: long, beginning with a fraction, and all of it numbers. */
export function isPackable(values: readonly unknown[]): values is number[] {
  if (values.length < shortestPacked || !isFraction(values[0])) return false
  for (let index = 0; index < values.length; index++) if (typeof values[index] !== 'number') return false
  return true
}
