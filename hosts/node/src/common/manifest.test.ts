// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PolyloopError } from './errors.ts'
import { rawMethod } from './layout.ts'
import { Manifest } from './manifest.ts'

/** What comes of a text: a manifest, or an error of ours. Anything else fails the test. */
function read(text: string): Manifest | PolyloopError {
  try {
    return new Manifest(text)
  } catch (error) {
    expect(error).toBeInstanceOf(PolyloopError)
    expect(error).toMatchObject({ code: 'protocol' })
    return error as PolyloopError
  }
}

const of = (methods: unknown, more: object = {}): string => JSON.stringify({ methods, ...more })

/** Names that mean something to JavaScript, too. */
const hostile = [
  '__proto__',
  'constructor',
  'then',
  'toString',
  'hasOwnProperty',
  'unload',
  'call',
  '',
  '\0',
  '\ud800',
  'é'.repeat(1000),
]

describe('a manifest', () => {
  test('is read field by field, and nothing else of it is kept', () => {
    const { methods, info, handle } = new Manifest(
      of(
        [
          { name: 'handle', params: ['a'], async: true, stream: false, input: true, evil: 1 },
          { name: 'b', params: null, async: 'yes' },
        ],
        {
          info: { language: 'none' },
        },
      ),
    )
    expect(methods).toEqual([{ name: 'handle', params: ['a'], async: true, stream: false, input: true }, { name: 'b' }])
    expect(info).toEqual({ language: 'none' })
    expect(handle).toBe(0)
  })

  test.each([
    ['null', 'it is not an object'],
    ['7', 'it is not an object'],
    ['[]', 'it is not an object'],
    ['{nope', 'JSON'],
    ['{}', 'methods is not an array'],
    [of({ name: 7 }), 'methods is not an array'],
    [of([null]), 'function 0 is not an object'],
    [of(['add']), 'function 0 is not an object'],
    [of([{ name: 'a' }, {}]), 'function 1 has no name'],
    [of([{ name: 'a', params: 'b' }]), 'the params of function 0 are not texts'],
    [of([{ name: 'a', params: ['b', 1] }]), 'the params of function 0 are not texts'],
    [of(Array.from({ length: 100_000 }, (_, index) => ({ name: `f${index}` }))), '100000 functions'],
  ])('that is none says why (%#)', (text, why) => {
    expect((read(text) as PolyloopError).message).toContain(why)
  })

  test('may have names that mean something to JavaScript', () => {
    const manifest = new Manifest(of(hostile.map((name) => ({ name }))))
    for (const [number, name] of hostile.entries()) expect(manifest.number(name)).toBe(number)
    expect(manifest.number('valueOf')).toBeUndefined()
  })

  test('may have two functions of one name: the last is called', () => {
    expect(new Manifest(of([{ name: 'a' }, { name: 'b' }, { name: 'a' }])).number('a')).toBe(2)
  })

  test('may have as many functions as there are numbers', () => {
    const all = Array.from({ length: rawMethod - 1 }, (_, index) => ({ name: `f${index}` }))
    expect(new Manifest(of(all)).number(`f${rawMethod - 2}`)).toBe(rawMethod - 2)
  })

  test('has an info of its own, whatever is told', () => {
    for (const info of [null, 7, 'x', []]) expect(new Manifest(of([], { info })).info).toEqual({})
    const told = new Manifest('{"methods":[],"info":{"__proto__":{"polluted":1}}}')
    expect(Object.getPrototypeOf(told.info)).toBe(Object.prototype)
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
})

test('warnings are a few texts of some length, or none', () => {
  const warnings = (value: unknown): readonly string[] =>
    new Manifest(JSON.stringify({ methods: [], warnings: value })).warnings
  expect(warnings(['a', 'b'])).toEqual(['a', 'b'])
  for (const value of [undefined, null, 'a', [1], { 0: 'a' }]) expect(warnings(value)).toEqual([])
  const many = warnings(Array.from({ length: 1000 }, () => 'x'.repeat(100_000)))
  expect(many).toEqual(Array.from({ length: 8 }, () => 'x'.repeat(1000)))
})

test('any JSON is a manifest, or is refused', () => {
  const field = fc.oneof(
    fc.json().map((text) => JSON.parse(text) as unknown),
    fc.constantFrom(...hostile),
  )
  const method = fc.oneof(
    field,
    fc.record({ name: field, params: field, async: field, stream: field }, { requiredKeys: [] }),
  )
  const near = fc.record({ methods: fc.oneof(field, fc.array(method)), info: field }, { requiredKeys: [] })
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    near.map((value) => JSON.stringify(value)),
  )
  fc.assert(
    fc.property(text, (text) => {
      const manifest = read(text)
      if (manifest instanceof PolyloopError) return
      for (const { name } of manifest.methods) expect(typeof manifest.number(name)).toBe('number')
      expect(manifest.translate(rawMethod, manifest)).toBe(manifest.handle)
    }),
  )
})
