// SPDX-License-Identifier: Apache-2.0
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NdArray } from './arrays.ts'
import { mark, pack, unpack } from './envelope.ts'
import { reviveEnvelope } from './revive.ts'
import { encodeValue } from './skeleton.ts'

const isEnvelope = (payload: string | Uint8Array): payload is Uint8Array => typeof payload !== 'string'

/** What the other side gets, if it is like this one. */
function there(value: unknown, isKept = true): unknown {
  const payload = encodeValue(value, false)
  if (!isEnvelope(payload)) return JSON.parse(payload)
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  return reviveEnvelope(bytes, { text: (from, to) => bytes.toString('utf8', from, to), isKept })
}

describe('what is plain is the JSON that it always was', () => {
  test.each([
    [{ a: 1, b: [true, null, 'é\ud800'], c: { d: -1.5e300 }, e: undefined }],
    [[]],
    [{}],
    ['text'],
    [Object.create(null)],
    [runInNewContext('({ a: [1, { b: 2 }] })')],
    [{ toJSON: () => ({ a: 1 }) }],
    [
      new (class Point {
        x = 1
      })(),
    ],
    [[new Boolean(true), new String('text'), new Number(1)]],
    [new Array(63).fill(0.5)],
    [new Array(1000).fill(1)],
  ])('%j', (value) => {
    expect(encodeValue(value, false)).toBe(JSON.stringify(value))
  })
})

describe('what JSON cannot carry comes back as it went', () => {
  const decorated = JSON.parse('{"__proto__":{"a":1},"b":2}') as object
  test.each<[string, unknown]>([
    ['numbers', [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0]],
    ['bigints', [0n, 1n, -1n, 2n ** 53n + 1n, -(2n ** 64n) - 5n, 2n ** 2000n]],
    ['undefined', [undefined, { a: [undefined] }]],
    ['dates', { at: new Date(0), last: new Date(8.64e15), first: new Date(-8.64e15) }],
    [
      'maps',
      new Map<unknown, unknown>([
        [1, 'a'],
        ['b', new Map([[{ c: 1 }, new Set([1n])]])],
      ]),
    ],
    ['sets', [new Set(), new Set([Number.NaN, 'a'])]],
    ['bytes', { image: Buffer.from('abc'), more: [Buffer.alloc(5000, 7), Buffer.alloc(0)] }],
    ['arrays', [new Float64Array([1.5, Number.NaN]), new Int8Array(3), new BigInt64Array([-5n]), new Uint16Array(0)]],
    ['shapes', { image: new NdArray(new Float32Array(6), [2, 3]), number: new NdArray(new Float64Array(1), []) }],
    ['keys of ours', { '~': ['b', 0], a: [{ '~': 1, '': 2n }] }],
    [
      'keys of JavaScript',
      [decorated, { at: 1n, ...decorated }, Object.assign(JSON.parse('{"__proto__":1}'), { '~': 1 })],
    ],
    ['lists of numbers', [Array.from({ length: 100 }, (_, index) => index + 0.5), [0.5, ...new Array(99).fill(-0)]]],
    ['lists of almost only numbers', [[...new Array(100).fill(0.5), 'text', 1n]]],
    ['lone surrogates', ['\ud800', 1n]],
  ])('%s', (_, value) => {
    expect(isEnvelope(encodeValue(value, false))).toBe(true)
    expect(there(value)).toEqual(value)
    expect(there(value, false)).toEqual(value)
  })

  test('as the nearest thing, if it is another class of the same', () => {
    const memory = new ArrayBuffer(8)
    expect(there([memory, new DataView(memory, 4), new SharedArrayBuffer(2)])).toEqual(
      [8, 4, 2].map((n) => Buffer.alloc(n)),
    )
    expect(there([new Uint8ClampedArray([1])])).toEqual([new Uint8Array([1])])
    expect(there([new (class Own extends Float32Array {})(2)])).toEqual([new Float32Array(2)])
    expect(there([runInNewContext('[new Map([[1, 2]]), new Date(5), new Float64Array(1)]')])).toEqual([
      [new Map([[1, 2]]), new Date(5), new Float64Array(1)],
    ])
  })

  test('arrays lie as their type needs it, wherever they stand', () => {
    for (const key of ['a', 'ab', 'abc', 'abcd']) {
      const [one] = Object.values(there({ [key]: new Float64Array(5000) }) as object) as [Float64Array]
      expect(one).toHaveLength(5000)
    }
    const payload = encodeValue([Buffer.alloc(3), new Float64Array(1)], false) as Buffer
    const [bytes, numbers] = unpack(payload).attachments
    expect([(bytes?.[0] ?? 1) % 8, (numbers?.[0] ?? 1) % 64]).toEqual([0, 0])
  })
})

test('a list of arguments is never packed: it is one of places', () => {
  const args = [...new Array(100).fill(0.5), Number.NaN]
  const payload = Buffer.from(encodeValue(args, true) as Uint8Array)
  expect(payload.toString('utf8', unpack(payload).text[0])).toBe(`[${'0.5,'.repeat(100)}{"~":["n","NaN"]}]`)
})

describe('what nothing carries is refused, with where it stands and what to do', () => {
  const cyclic: unknown[] = []
  cyclic.push({ self: cyclic })
  const detached = new Float64Array(1)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const deep = (levels: number): unknown => (levels === 0 ? 1n : [deep(levels - 1)])
  function* generator(): Generator<number> {
    yield 1
  }
  test.each<[unknown, string]>([
    [{ user: Promise.resolve(1) }, 'a promise at argument 1.user: await it'],
    // biome-ignore lint/suspicious/noThenProperty: what a promise is known by
    [[{ then: () => {} }], 'a promise at argument 1[0]: await it'],
    [{ a: [() => 1] }, 'a function at argument 1.a[0]'],
    [[Symbol('x')], 'a symbol at argument 1[0]'],
    [new WeakMap(), 'an instance of WeakMap without data of its own at argument 1'],
    [
      [
        new (class Secret {
          #value = 1
          get value(): number {
            return this.#value
          }
        })(),
      ],
      'an instance of Secret without data of its own at argument 1[0]',
    ],
    [{ 'a key': generator() }, 'an iterable (Object) at argument 1["a key"]: pass [...it]'],
    [[new URLSearchParams()], 'an iterable (URLSearchParams) at argument 1[0]'],
    [[(async function* () {})()], 'a stream at argument 1[0]: pass it as the last argument'],
    [[new Error('x')], 'an Error at argument 1[0]: pass its message'],
    [[/x/], 'a RegExp at argument 1[0]'],
    [[new Date(Number.NaN)], 'an invalid Date at argument 1[0]'],
    [cyclic, 'a cycle at argument 1[0].self'],
    [Object.assign([1], { 2: 3 }), 'a hole at argument 1[1]'],
    [[detached], 'detached bytes at argument 1[0]'],
    [deep(200), 'a value below 127 others at argument 1[0][0]'],
    [new Map([['a', () => 1]]), 'a function at argument 1.a'],
    [new Map([[() => 1, 1]]), 'a function at argument 1["key 0"]'],
  ])('%#', (value, message) => {
    expect(() => encodeValue(value, false)).toThrow(message)
  })

  test('of several arguments with the number of the one', () => {
    expect(() => encodeValue([1, { a: Promise.resolve() }], true)).toThrow('a promise at argument 2.a')
    expect(() => encodeValue([1, Promise.resolve()], true)).toThrow('a promise at argument 2:')
  })
})

const numbers = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(-0, Number.NaN, Number.POSITIVE_INFINITY))
const arrays = fc.oneof(
  fc.float64Array({ maxLength: 100 }),
  fc.int32Array({ maxLength: 100 }),
  fc.bigInt64Array({ maxLength: 10 }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
)
const leaves = fc.oneof(
  fc.string({ unit: 'binary' }),
  numbers,
  fc.boolean(),
  fc.constant(null),
  fc.bigInt(),
  arrays,
  fc.date({ noInvalidDate: true }),
)
const { value: values } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaves,
    fc.array(fc.oneof(tie('value'), fc.constant(undefined)), { maxLength: 6 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('~', '__proto__', 'toString')), tie('value'), {
      noNullPrototype: true,
    }),
    fc.array(fc.tuple(fc.oneof(fc.string(), fc.integer()), tie('value'))).map((pairs) => new Map(pairs)),
    fc.array(leaves, { maxLength: 6 }).map((items) => new Set(items)),
    fc.array(fc.double(), { minLength: 64, maxLength: 80 }),
  ),
}))

test('any value comes back equal', () => {
  fc.assert(
    fc.property(values, (value) => {
      // Undefined as a property is left out, -0 as a key of a Map is 0.
      expect(there(value)).toEqual(value)
    }),
    { numRuns: Number(process.env.POLYLOOP_FUZZ_CASES ?? 1000) },
  )
})

describe('an envelope that somebody else has written', () => {
  const revive = (bytes: Buffer): unknown =>
    reviveEnvelope(bytes, { text: (from, to) => bytes.toString('utf8', from, to), isKept: true })
  const enveloped = (tag: unknown, ...attached: Uint8Array[]): Buffer => {
    const attachments = attached.map((bytes) => ({ bytes, at: 64 as const }))
    return Buffer.from(pack(JSON.stringify(tag), attachments))
  }

  test.each<[unknown, ...Uint8Array[]]>([
    [{ '~': 1 }],
    [{ '~': ['n', 'x'] }],
    [{ '~': ['n', 'toString'] }],
    [{ '~': ['i', '0x5'] }],
    [{ '~': ['i', ''] }],
    [{ '~': ['b', 0] }],
    [{ '~': ['b', -1], a: 1 }, Buffer.alloc(1)],
    [{ '~': ['b', 0.5] }, Buffer.alloc(1)],
    [{ '~': ['a', 0, '<f8', [2]] }, Buffer.alloc(8)],
    [{ '~': ['a', 0, '<f8', [-1, -1]] }, Buffer.alloc(8)],
    [{ '~': ['a', 0, 'toString', [1]] }, Buffer.alloc(8)],
    [{ '~': ['a', 0, '<f8', ['1']] }, Buffer.alloc(8)],
    [{ '~': ['a', 0, '<f8', [1]] }, Buffer.alloc(7)],
    [{ '~': ['d', 1e300] }],
    [{ '~': ['m', [1]] }],
    [{ '~': ['m', 1] }],
    [{ '~': ['s'] }],
    [{ '~': ['zz'] }],
  ])('%j is refused', (tag, ...attached) => {
    expect(() => revive(enveloped(tag, ...attached))).toThrow(Error)
  })

  test('as any bytes is a value, or an Error', () => {
    const good = Buffer.from(
      encodeValue([new Float64Array(3), Buffer.alloc(9), 5n, new Map([[1, 2]])], false) as Uint8Array,
    )
    const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), fc.nat(good.length), (changes, length) => {
        const bytes = Buffer.from(good.subarray(0, length))
        for (const [at, byte] of changes) if (at < length) bytes[at] = byte
        if (bytes.length > 0) bytes[0] = mark
        try {
          revive(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(Error)
        }
      }),
      { numRuns: Number(process.env.POLYLOOP_FUZZ_CASES ?? 1000) },
    )
  })

  test('whose text is nested without end is refused', () => {
    expect(() => revive(Buffer.from(pack(`${'['.repeat(5000)}${']'.repeat(5000)}`, [])))).toThrow('nested')
  })
})
