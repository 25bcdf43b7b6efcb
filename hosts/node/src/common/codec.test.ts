// SPDX-License-Identifier: Apache-2.0
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { asBytes, encodeArguments, toEncoding } from './codec.ts'
import { flag } from './layout.ts'

const json = toEncoding('json')

describe('arguments', () => {
  test('none, or undefined, travel as nothing', () => {
    expect(encodeArguments(json, [])).toEqual({ flags: flag.empty, payload: undefined })
    expect(encodeArguments(json, [undefined])).toEqual({ flags: flag.empty, payload: undefined })
  })

  test('one travels by itself, several as an array', () => {
    expect(encodeArguments(json, [{ a: 1 }])).toEqual({ flags: 0, payload: '{"a":1}' })
    expect(encodeArguments(json, [[1, 2]])).toEqual({ flags: 0, payload: '[1,2]' })
    expect(encodeArguments(json, [1, 2])).toEqual({ flags: flag.spread, payload: '[1,2]' })
    expect(encodeArguments(json, [1, undefined, null])).toEqual({ flags: flag.spread, payload: '[1,null,null]' })
    expect(encodeArguments(json, [null])).toEqual({ flags: 0, payload: 'null' })
  })

  test('of bytes travel untouched: no copy is made', () => {
    const bytes = Buffer.from('abc')
    const { flags, payload } = encodeArguments(json, [bytes])
    expect(flags).toBe(flag.bytes)
    expect(payload).toBe(bytes)
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
  const encoding = { ...json, encode: () => 'x'.repeat(2 ** 30) }
  expect(() => encodeArguments(encoding, ['x'])).toThrow(
    expect.objectContaining({ code: 'too-large', message: expect.stringContaining('send bytes') }),
  )
})
