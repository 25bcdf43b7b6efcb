// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { msgpack } from './msgpack.ts'

const there = (value: unknown): unknown => msgpack.decode(msgpack.encode(value))

test('integers of 64 bits come back as they went: as numbers if those hold them', () => {
  for (const value of [2n ** 60n + 1n, 2n ** 64n - 1n, -(2n ** 63n)]) {
    expect(there([value, { a: value }])).toEqual([value, { a: value }])
  }
  expect(there([1n, 2n ** 53n - 1n, 2 ** 40, -5])).toEqual([1, Number.MAX_SAFE_INTEGER, 2 ** 40, -5])
})

test.each<[unknown, string]>([
  [2n ** 64n, 'an integer beyond 64 bits at the arguments: pass it as a text'],
  [[{ a: -(2n ** 63n) - 1n }], 'an integer beyond 64 bits at the arguments.0.a'],
  [new Map(), 'an iterable (Map) at the arguments: pass [...it]'],
  [{ s: new Set() }, 'an iterable (Set) at the arguments.s'],
  [{ user: Promise.resolve() }, 'a promise at the arguments.user: await it'],
  [[new Float64Array(1)], 'an array of numbers at the arguments.0'],
  [[new ArrayBuffer(1)], 'an ArrayBuffer at the arguments.0'],
  [new Date(Number.NaN), 'an invalid Date'],
  [new Error('x'), 'an Error'],
])('what it would make something else of is refused: %#', (value, message) => {
  expect(() => msgpack.encode(value)).toThrow(message)
})

test('what it carries comes back equal', () => {
  const leaf = fc.oneof(
    fc.string(),
    fc.double({ noNaN: true }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array(),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value'), { maxLength: 5 }),
      fc.dictionary(
        fc.string().filter((key) => key !== '__proto__'),
        tie('value'),
        { maxKeys: 5, noNullPrototype: true },
      ),
    ),
  }))
  fc.assert(
    fc.property(value, (one) => {
      expect(there(one)).toEqual(one)
    }),
  )
})

test('a cycle is refused', () => {
  const cycle: unknown[] = []
  cycle.push(cycle)
  expect(() => msgpack.encode(cycle)).toThrow(/depth/i)
})
