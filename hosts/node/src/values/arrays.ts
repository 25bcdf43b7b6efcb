// SPDX-License-Identifier: Apache-2.0
// Arrays of numbers: typed arrays by their type's name, as numpy spells it, and those with several dimensions.
import { endianness } from 'node:os'

type Constructor = {
  readonly name: string
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): NumberArray
}

/** A typed array of any element type. */
export type NumberArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array

/** What each type travels as: little-endian, as numpy's `dtype.str`. */
const typeOfName: Readonly<Record<string, string>> = {
  Int8Array: '|i1',
  Uint8Array: '|u1',
  Uint8ClampedArray: '|u1',
  Int16Array: '<i2',
  Uint16Array: '<u2',
  Int32Array: '<i4',
  Uint32Array: '<u4',
  BigInt64Array: '<i8',
  BigUint64Array: '<u8',
  Float16Array: '<f2',
  Float32Array: '<f4',
  Float64Array: '<f8',
}

const global = globalThis as unknown as Readonly<Record<string, Constructor | undefined>>

/** What arrives as each. Truth values are bytes of 0 and 1. */
const constructorOfType: Readonly<Record<string, Constructor | undefined>> = {
  '|b1': Uint8Array,
  '|i1': Int8Array,
  '|u1': Uint8Array,
  '<i2': Int16Array,
  '<u2': Uint16Array,
  '<i4': Int32Array,
  '<u4': Uint32Array,
  '<i8': BigInt64Array,
  '<u8': BigUint64Array,
  // Of Node.js 24 and newer.
  '<f2': global.Float16Array,
  '<f4': Float32Array,
  '<f8': Float64Array,
} as Readonly<Record<string, Constructor | undefined>>

/** Where numbers lie the other way round nothing is to be carried as it lies. */
export const isLittleEndian: boolean = endianness() === 'LE'

/** The type that an array of numbers travels as; undefined for a `DataView`, which has none. */
export function numberType(view: ArrayBufferView): string | undefined {
  // Its own, also in another realm; a class derived from one has that one's.
  const tag = Object.getOwnPropertyDescriptor(typedArrayPrototype, Symbol.toStringTag)?.get?.call(view) as string
  return typeOfName[tag]
}

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object

/**
 * The numbers in some bytes: a view if they lie as the type needs it, a copy otherwise.
 *
 * @throws TypeError if there is no such type here, or the bytes are no whole number of them
 */
export function toNumbers(type: string, bytes: Uint8Array, isKept: boolean): NumberArray {
  const made = Object.hasOwn(constructorOfType, type) ? constructorOfType[type] : undefined
  if (made === undefined) throw new TypeError(`this Node.js has no array of ${type.slice(0, 20)}`)
  const { BYTES_PER_ELEMENT: size } = made
  if (bytes.length % size !== 0) throw new TypeError(`${bytes.length} bytes are no array of ${type}`)
  if (isKept && bytes.byteOffset % size === 0) {
    return new made(bytes.buffer, bytes.byteOffset, bytes.length / size)
  }
  const copy = new Uint8Array(bytes.length)
  copy.set(bytes)
  return new made(copy.buffer)
}

/**
 * The bytes of a view, or of memory.
 *
 * @throws TypeError if they are detached
 */
export function bytesOf(value: ArrayBufferView | ArrayBufferLike): Uint8Array {
  return ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : new Uint8Array(value)
}

/** An array of numbers with several dimensions, row by row: a numpy array on the other side. */
export class NdArray<Data extends NumberArray = NumberArray> {
  readonly data: Data
  readonly shape: readonly number[]

  /**
   * @param data - the numbers, the last dimension first
   * @param shape - the length of each dimension; their product is the length of `data`
   * @throws RangeError if it is not
   */
  constructor(data: Data, shape: readonly number[]) {
    const length = shape.reduce((product, one) => product * one, 1)
    if (!shape.every((one) => Number.isInteger(one) && one >= 0) || length !== data.length) {
      throw new RangeError(`an array of ${data.length} numbers cannot have the shape [${shape.join(', ')}]`)
    }
    this.data = data
    this.shape = [...shape]
  }
}
