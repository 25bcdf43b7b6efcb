// SPDX-License-Identifier: Apache-2.0
// What docs/reference/values.md says of Rust: values go there, and come back as what they are.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NdArray } from '../../src/values/arrays.ts'
import { rejection } from '../support/calls.ts'
import { loadRust, type RustGuest } from '../support/guests.ts'

const record = {
  id: 2n ** 64n - 1n,
  balance: -(2n ** 127n),
  ratio: Number.NEGATIVE_INFINITY,
  at: new Date(1_709_210_096_123),
  picture: Buffer.alloc(5000, 7),
  rows: [new Float64Array([0.5, Number.NaN]), new NdArray(new Float64Array(6), [2, 3])],
}

describe.each(['thread', 'process'] as const)('with the guest in a %s', (placement) => {
  let guest: RustGuest
  beforeAll(async () => {
    guest = await loadRust({ placement })
  })
  afterAll(() => guest.unload())

  test.each<[string, unknown]>([
    ['numbers', [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0, 1.5]],
    ['integers', [2n ** 53n, -(2n ** 53n), 2n ** 63n, -(2n ** 127n), 2n ** 128n - 1n]],
    ['bytes', { image: Buffer.from('abc'), more: [Buffer.alloc(5000, 7), Buffer.alloc(0)] }],
    [
      'maps',
      new Map<unknown, unknown>([
        [1, 'a'],
        [[2], new Map([[true, 'b']])],
      ]),
    ],
    ['keys of ours', { '~': ['b', 0], a: [{ '~': 1, '': 2n ** 60n }] }],
    ['long lists', [Array.from({ length: 1000 }, (_, index) => index + 0.5), [0.5, ...new Array(99).fill(-0)]]],
    ['mixed lists', [[...new Array(100).fill(0.5), 'text', 2n ** 60n]]],
    ['plain values', { a: [1, null, 'grüße', { b: true }], c: {} }],
    ['a lone number', Number.NaN],
  ])('%s of any type come back', async (_, value) => {
    expect(await guest.echo_value(value)).toEqual(value)
  })

  test('what Rust has one type for arrives as that', async () => {
    expect(await guest.echo_value([5n, new Set([1]), undefined, new Date(0), new Int8Array([-1])])).toEqual([
      5,
      [1],
      null,
      '1970-01-01T00:00:00.000Z',
      [-1],
    ])
    expect(await guest.echo_value(new Map([['a', 1]]))).toEqual({ a: 1 })
  })

  test('fields of a struct come back as what they are', async () => {
    expect(await guest.echo_record(record)).toEqual(record)
    expect(await guest.echo_record({ ...record, picture: undefined })).toEqual({ ...record, picture: null })
    const { rows } = (await guest.echo_record({ ...record, rows: [new Float64Array(100_000)] })) as typeof record
    expect(rows[0]).toHaveLength(100_000)
    expect(await guest.tomorrow(new Date(5))).toEqual(new Date(86_400_005))
    expect(await guest.echo_map(new Map([[7, [2n ** 63n, 1]]]))).toEqual(new Map([[7, [2n ** 63n, 1]]]))
    expect(await guest.echo_map({ 7: [1] })).toEqual(new Map([[7, [1]]]))
  })

  test('arrays of numbers are numbers, never their bytes', async () => {
    for (const numbers of [[1, 2], new Float64Array([1, 2]), new Float32Array([1, 2]), new Int16Array([1, 2])]) {
      expect(await guest.sum_numbers(numbers)).toBe(3)
    }
    expect(await guest.sum_numbers(new BigInt64Array([1n, 2n]))).toBe(3)
    expect(await guest.sum_numbers(new Uint8Array([1, 2]))).toBe(3)
    // As Rust has it.
    expect(await guest.sum_numbers(new Float64Array())).toBe(-0)
    expect(await guest.scale(new Float64Array([1, 2]), 10)).toEqual(new Float64Array([10, 20]))
    expect(await guest.scale(new Float64Array(1e6).fill(1), 3)).toEqual(new Float64Array(1e6).fill(3))
    expect(await guest.echo_integers(new Int32Array([-1, 2]))).toEqual(new Int32Array([-1, 2]))
    const image = new NdArray(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3])
    expect(await guest.echo_array(image)).toEqual(image)
    expect(await guest.echo_array(new NdArray(new Float64Array([0.5]), []))).toEqual(
      new NdArray(new Float32Array([0.5]), []),
    )
  })

  test('what does not fit is refused, with where it stands', async () => {
    const refused = (call: unknown, ...said: string[]) =>
      rejection(call as Promise<unknown>, 'invalid-argument', ...said)
    await refused(guest.echo_record({ ...record, id: 2n ** 64n }), '`record.id`: 18446744073709551616 does not fit u64')
    await refused(guest.echo_record({ ...record, at: 'now' }), '`record.at`: invalid type: string "now"')
    await refused(guest.add(1, 2n ** 63n), 'add(a, b): argument `b`: 9223372036854775808 does not fit i64')
    await refused(
      guest.sum_numbers(new BigInt64Array([0n, 2n ** 53n + 1n])),
      '`numbers[1]`: 9007199254740993 is no f64',
    )
    await refused(guest.echo_array(new Float64Array([0.1])), '0.1 is no f32 without loss')
    await refused(guest.sum_numbers(new NdArray(new Float64Array(4), [2, 2])), 'shape [2, 2], expected one dimension')
    await refused(guest.echo_integers(new Float64Array([0.5])), '0.5 is no i32 without loss')
    await refused(guest.echo_value(2n ** 200n), 'pass it as a string')
    expect(await guest.add(1, -0)).toBe(1)
  })

  test('items of streams are values, too', async () => {
    async function* numbers(): AsyncGenerator<unknown> {
      yield* [Number.POSITIVE_INFINITY, 3n, -0]
    }
    const halves: unknown[] = []
    for await (const half of guest.stream('halves' as 'echo', [numbers()])) halves.push(half)
    expect(halves).toEqual([Number.POSITIVE_INFINITY, 1.5, -0])
  })
})
