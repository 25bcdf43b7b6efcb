// SPDX-License-Identifier: Apache-2.0
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { msgpack } from '../msgpack.ts'
import { kw } from '../values/keywords.ts'
import { asBytes, byPosition, encodeArguments, toEncoding } from './codec.ts'
import { flag } from './layout.ts'

const json = toEncoding('json')

const sent = (...args: unknown[]): ReturnType<typeof encodeArguments> => encodeArguments(json, args, 'envelope')

describe('arguments', () => {
  test('none, or undefined, travel as nothing', () => {
    for (const args of [[], [undefined], [undefined, undefined]]) {
      expect(sent(...args)).toEqual({ flags: flag.empty, payload: undefined })
    }
  })

  test('one travels by itself, several as an array', () => {
    expect(sent({ a: 1 })).toEqual({ flags: 0, payload: '{"a":1}' })
    expect(sent([1, 2])).toEqual({ flags: 0, payload: '[1,2]' })
    expect(sent(1, 2)).toEqual({ flags: flag.spread, payload: '[1,2]' })
    expect(sent(null)).toEqual({ flags: 0, payload: 'null' })
    expect(sent(null, null)).toEqual({ flags: flag.spread, payload: '[null,null]' })
  })

  test('of undefined at the end are not given, and elsewhere they are', () => {
    expect(sent(1, undefined)).toEqual({ flags: 0, payload: '1' })
    expect(sent(1, 2, undefined, undefined)).toEqual({ flags: flag.spread, payload: '[1,2]' })
    expect(sent(1, undefined, null)).toEqual({ flags: flag.spread, payload: expect.any(Uint8Array) })
  })

  test('of bytes travel untouched: no copy is made', () => {
    const bytes = Buffer.from('abc')
    const { flags, payload } = sent(bytes)
    expect(flags).toBe(flag.bytes)
    expect(payload).toBe(bytes)
    for (const value of [bytes.buffer, new DataView(bytes.buffer), new SharedArrayBuffer(8)]) {
      expect(sent(value).flags).toBe(flag.bytes)
    }
  })

  test('that are arrays of numbers are more than their bytes', () => {
    expect(sent(new Float64Array([1, 2]))).toEqual({ flags: 0, payload: expect.any(Uint8Array) })
    expect(encodeArguments(toEncoding(msgpack), [new Float64Array(1)], 'envelope').flags).toBe(flag.bytes)
    expect(encodeArguments(json, [new Float64Array(1)], 'json').flags).toBe(flag.bytes)
  })

  test('for a guest that reads JSON alone are JSON, or refused', () => {
    const plain = (...args: unknown[]): unknown => encodeArguments(json, args, 'json').payload
    expect(plain(-0, { '~': 1 }, new Array(100).fill(0.5))).toBe(
      JSON.stringify([0, { '~': 1 }, new Array(100).fill(0.5)]),
    )
    for (const [value, what] of [
      [new Map(), 'a Map'],
      [Number.NaN, 'a number that is not finite'],
      [1n, 'a bigint'],
      [new Date(), 'a Date'],
      [new Float32Array(1), 'an array of numbers'],
    ] as const) {
      expect(() => plain({ a: [value] })).toThrow(`${what} at argument 1.a[0]: this guest reads JSON alone`)
    }
  })
})

describe('arguments by name', () => {
  test('travel behind the others, whatever their number', () => {
    const text = (args: unknown[]): string => {
      const { flags, payload } = encodeArguments(json, args, 'envelope')
      expect(flags).toBe(flag.spread)
      return Buffer.from(payload as Uint8Array).toString('utf8', 16)
    }
    expect(text([kw({ axis: 1 })])).toBe('[{"~":["k",["axis",1]]}]')
    expect(text([5, kw({ a: undefined, b: null })])).toBe('[5,{"~":["k",["b",null]]}]')
    for (const args of [[kw({}), 1], [[kw({})]], [1, { a: kw({}) }]]) {
      expect(() => encodeArguments(json, args, 'envelope')).toThrow('kw() at argument')
    }
  })

  test('go to the places of the parameters of those names, for who knows no names', () => {
    const method = { name: 'greet', params: ['name', 'greeting', 'times'] }
    const placed = (...args: unknown[]): unknown => byPosition(args, method)
    expect(placed('ada', kw({ times: 2 }))).toEqual(['ada', undefined, 2])
    expect(placed(kw({ times: 2, name: 'ada' }))).toEqual(['ada', undefined, 2])
    expect(placed('ada', 1)).toEqual(['ada', 1])
    expect(() => placed('ada', kw({ name: 'x' }))).toThrow(
      "greet(name, greeting, times) has 'name' by position already",
    )
    expect(() => placed(kw({ nope: 1 }))).toThrow("greet(name, greeting, times) has no parameter 'nope'")
    expect(() => byPosition([kw({ a: 1 })])).toThrow('the function takes no arguments by name')
  })
})

describe('bytes', () => {
  test('are a view of the same memory, whatever their class or realm', () => {
    const memory = new ArrayBuffer(16)
    const shared = new SharedArrayBuffer(16)
    for (const value of [memory, new DataView(memory, 4, 8), new Float64Array(memory, 8), shared]) {
      const bytes = asBytes(value) as Uint8Array
      expect(bytes.buffer).toBe(value instanceof ArrayBuffer || value instanceof SharedArrayBuffer ? value : memory)
      expect(bytes.byteLength).toBe(value.byteLength)
    }
    expect(asBytes(runInNewContext('new ArrayBuffer(3)'))).toHaveLength(3)
    expect(asBytes(runInNewContext('new Uint8Array(3)'))).toHaveLength(3)
  })

  test('are nothing else', () => {
    for (const value of ['text', 7, null, undefined, {}, [1, 2], () => 1]) expect(asBytes(value)).toBeUndefined()
  })

  test('that are detached are refused, whatever views them', () => {
    const memory = new ArrayBuffer(8)
    const views = [memory, new Uint8Array(memory), new DataView(memory), new Float64Array(memory)]
    structuredClone(memory, { transfer: [memory] })
    for (const view of views) expect(() => asBytes(view)).toThrow('detached')
  })
})

test('JSON too long for one text is too-large, and says to send bytes', () => {
  const text = 'x'.repeat(2 ** 28)
  expect(() => sent(text, text)).toThrow(
    expect.objectContaining({ code: 'too-large', message: expect.stringContaining('send bytes') }),
  )
})
