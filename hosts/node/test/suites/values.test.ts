// SPDX-License-Identifier: Apache-2.0
// What arrives as what in a Python guest and back, docs/reference/values.md; conformance/ has what every language does.
import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load } from '../../src/runtime/load.ts'
import { NdArray } from '../../src/values/arrays.ts'
import { rejection, until } from '../support/calls.ts'
import { venvWith } from '../support/folders.ts'
import type { Loose } from '../support/guests.ts'
import { inRoot, python } from '../support/paths.ts'
import { all } from '../support/streams.ts'

type Guest = Loose<
  | 'echo'
  | 'echo_all'
  | 'echo_async'
  | 'echo_each'
  | 'keep'
  | 'kept'
  | 'kind'
  | 'made'
  | 'numpy_made'
  | 'scale'
  | 'total'
  | 'use_numpy'
  | 'wrong'
  | 'wrong_items'
>

/** A request stream of these items. */
async function* sent(...items: unknown[]): AsyncGenerator<unknown> {
  yield* items
}

/** What comes back as it went, without numpy. */
const carried: Record<string, unknown> = {
  'not a number': Number.NaN,
  infinities: [Number.POSITIVE_INFINITY, { a: Number.NEGATIVE_INFINITY }],
  'negative zero': [-0, 0],
  'a bigint': 2n ** 70n,
  'a negative bigint in an object': { a: -(2n ** 53n) },
  'a long bigint': 7n ** 5000n,
  'a large number': [1e17, 2 ** 53, -(2 ** 60), 1e300],
  'the largest integer': Number.MAX_SAFE_INTEGER,
  bytes: { a: Buffer.from('x'), b: [Buffer.alloc(0), Buffer.alloc(20_000, 7)] },
  'typed arrays': [
    new Float64Array([1.5, -0]),
    new Float32Array(3),
    new Int8Array([-1]),
    new Int16Array([-300]),
    new Uint16Array([1, 2]),
    new Int32Array([-70_000]),
    new Uint32Array([7]),
    new BigInt64Array([-5n]),
    new BigUint64Array([5n]),
    new Float64Array(0),
  ],
  'a large array of numbers': new Float64Array(20_000).fill(0.5),
  'several dimensions': new NdArray(new Float64Array([1, 2, 3, 4, 5, 6]), [2, 3]),
  'a long list of numbers': Array.from({ length: 1000 }, (_, index) => index + 0.5),
  'a long list with integers, NaN and -0': [0.5, ...Array.from({ length: 70 }, (_, index) => index), Number.NaN, -0],
  'a date': new Date(Date.UTC(2020, 1, 2, 3, 4, 5, 678)),
  'a date before 1970': { a: new Date(-1) },
  'a map': new Map<unknown, unknown>([
    [1, 'a'],
    [null, new Date(0)],
    ['text', [new Map([[2, 3]])]],
  ]),
  'a set': { a: new Set<unknown>([1, 'a', null]) },
  'the key of tags': { '~': 1, b: Buffer.from('x') },
  'tags of the caller': { '~': ['b', 0] },
  __proto__: JSON.parse('{"__proto__":{"a":1},"b":[null]}') as unknown,
  'a lone surrogate': ['\ud800', { '\udc00': 'ü😀\ud83d' }],
  'plain data': { a: [1, 'grüße', true, null, { b: [] }], c: {}, d: '\u0000"\\\u2028' },
}

/** What is another value here, of the same meaning. */
const changed: Record<string, [sent: unknown, back: unknown]> = {
  'undefined within a list is null': [
    [undefined, 1n],
    [null, 1],
  ],
  'a bigint that is a safe number is one': [5n, 5],
  'a map whose keys are texts is an object': [new Map([['a', new Map([['b', 1n]])]]), { a: { b: 1 } }],
  'an ArrayBuffer is bytes': [{ a: new ArrayBuffer(3) }, { a: Buffer.alloc(3) }],
  'a DataView is bytes': [[new DataView(new ArrayBuffer(3))], [Buffer.alloc(3)]],
  'a Uint8Array is a Buffer': [[new Uint8Array(3)], [Buffer.alloc(3)]],
}

/** What only Python has, and what it is here. */
const made: Record<string, unknown> = {
  large: 2n ** 53n + 1n,
  larger: -(2n ** 70n),
  safe: Number.MAX_SAFE_INTEGER,
  'true keys': new Map<unknown, unknown>([
    [true, 1],
    [null, 2],
    [3, 4],
  ]),
  'a moment': new Date('2020-01-02T03:04:05.678Z'),
  'a moment elsewhere': new Date('2020-01-02T03:04:05.678Z'),
  'a naive moment': '2020-01-02T03:04:05.678901',
  'a date': '2020-01-02',
  'a time': '03:04:05.678901',
  'a duration': 'PT1.5S',
  'a decimal': '1.10',
  'a uuid': '00000000-0000-0000-0000-000000000005',
  'an enum': 'red',
  'a path': '/a/b',
  'a tuple': [1, [2, Buffer.from('3')]],
  'a set': new Set([1]),
  'a named tuple': [1, 2],
  'a dataclass': { when: new Date('2020-01-02T03:04:05.678Z'), data: Buffer.from('data') },
  'an array': new Int16Array([1, -2]),
  'a view of numbers': new Float64Array([1.5, 2]),
  'a view of rows': new NdArray(new Uint8Array(Buffer.from('abcdef')), [2, 3]),
  'every second byte': { b: Buffer.from('ace') },
  'a buffer': { b: Buffer.from('xyz') },
}

const wrong: Record<string, string> = {
  'a generator': 'a generator at .items[1].when: return list(...) of it',
  'a function': 'the function wrong at .items[1].when: return what it returns',
  'a class': 'the class Colour at .items[1].when: return an instance',
  'a module': 'the module sys at .items[1].when: return its name',
  'an object': 'an instance of object at .items[1].when: return dict, list',
  'an exception': 'the exception ValueError at .items[1].when: raise it',
  'a range': 'a range at .items[1].when: return list(...) of it',
  'a complex number': 'a complex number at .items[1].when: return its real and imag',
  'a cycle': 'a cycle at .items[1].when.self[0]: return a value that does not hold itself',
  'a deep list': 'a value below 127 others at .items[1].when[0]',
}

const kinds: [unknown, string][] = [
  [Number.NaN, 'float'],
  [1n, 'int'],
  [2n ** 80n, 'int'],
  [[-0], 'list of float'],
  [1e17, 'float'],
  [-(2 ** 53), 'float'],
  [2 ** 53 - 1, 'int'],
  [[Buffer.from('x')], 'list of memoryview B True'],
  [new Date(0), 'datetime UTC'],
  [new Map([[1, 1n]]), 'dict of int'],
  [new Set(['a']), 'set of str'],
  [Array.from({ length: 64 }, (_, index) => index + 0.5), 'list of float'],
]

const numpyMade: Record<string, unknown> = {
  rows: new NdArray(new Float64Array([0, 1, 2, 3, 4, 5]), [2, 3]),
  columns: new NdArray(new Float64Array([0, 3, 1, 4, 2, 5]), [3, 2]),
  'big-endian': new Int32Array([1, 2]),
  'an integer': { a: 5 },
  'a large integer': 2n ** 60n,
  'a truth': [true],
  truths: new Uint8Array([1, 0]),
  'a float': 1.5,
  none: new NdArray(new Float64Array(0), [0, 3]),
}

describe.each(['thread', 'process'] as const)('a Python guest, placement %s', (placement) => {
  let guest: Guest
  beforeAll(async () => {
    guest = (await load(python('values'), { placement, venv: venvWith('numpy') })) as unknown as Guest
  })
  afterAll(() => guest.unload())

  test.each(Object.entries(carried))('gives back what it was given: %s', async (_, value) => {
    // One among several arguments, alone, and as an item.
    expect(await guest.echo_all(1, value)).toEqual([1, value])
    expect(await guest.echo(value)).toEqual(value)
    expect(await guest.echo_async([value])).toEqual([value])
    expect(await all(guest.stream('echo_each', [sent(value, [value])]))).toEqual([value, [value]])
  })

  test.each(Object.entries(changed))('gives back: %s', async (_, [sent, back]) => {
    expect(await guest.echo(sent)).toEqual(back)
  })

  test.each(kinds)('has %o as %s', async (value, kind) => {
    expect(await guest.kind(value)).toBe(kind)
  })

  test.each(Object.entries(made))('returns %s', async (name, value) => {
    expect(await guest.made(name)).toEqual(value)
  })

  test.each(Object.entries(wrong))('is told what cannot be sent, and where it stands: %s', async (name, message) => {
    await rejection(guest.wrong(name), 'guest-error', `the result, of type dict, cannot be sent: ${message}`)
  })

  test('is told so of an item, too', async () => {
    const failed = all(guest.stream('wrong_items'))
    await rejection(failed, 'guest-error', 'cannot be sent: an instance of object at .a: return dict')
  })

  test('cannot have a map of keys that Python has not, or takes for one', async () => {
    const objects = new Map([[{ a: 1 }, 1]])
    await rejection(guest.echo(objects), 'invalid-argument', 'a Map with a key that is a dict here')
    const same = new Set<unknown>([1, true])
    await rejection(guest.echo(same), 'invalid-argument', 'a Set with items that are the same in Python')
    const year = new Date(8.64e15)
    await rejection(guest.echo(year), 'invalid-argument', 'a Date of a year that')
  })

  test('may keep bytes of a value beyond the call, and the memory is used again when they are let go', async () => {
    for (const size of [10, 5000]) {
      const bytes = Buffer.alloc(size, 7)
      await guest.keep({ bytes })
      await Promise.all(Array.from({ length: 200 }, () => guest.echo([Buffer.alloc(size)])))
      expect(await guest.kept()).toEqual({ bytes })
      await until(() => guest.stats().pinned === 0)
    }
  })

  test('has arrays as views, and as arrays of numpy once it has imported it', async () => {
    // On threads of one process guests share what was imported.
    expect(await guest.kind(new Float64Array([1]))).toBe('memoryview d True')
    expect(await guest.total(new Int16Array([1, -3]), 2)).toBe(-4)
    await rejection(guest.echo(new NdArray(new Float64Array(0), [0, 2])), 'invalid-argument', 'import numpy')
    await guest.use_numpy()
    expect(await guest.kind(new Float64Array([1]))).toBe('ndarray float64 True')
    expect(await guest.kind({ a: new BigUint64Array(2) })).toBe('dict of ndarray uint64 True')
    for (const name of ['typed arrays', 'a large array of numbers', 'several dimensions']) {
      expect(await guest.echo([carried[name]])).toEqual([carried[name]])
    }
    const scaled = (await guest.scale(new Float64Array(1e6).fill(2), 10)) as Float64Array
    expect([scaled.length, scaled[0], scaled[999_999]]).toEqual([1e6, 20, 20])
    for (const [name, value] of Object.entries(numpyMade)) expect(await guest.numpy_made(name)).toEqual(value)
    await rejection(guest.numpy_made('texts'), 'guest-error', 'an array of <U1 at .a: return its tolist()')
  })
})

describe('plain JSON, which the loader reads and writes by itself', () => {
  const cases = Number(process.env.POLYLOOP_FUZZ_CASES ?? 1000)
  type Fuzz = Loose<'deep' | 'parse' | 'parse_noise' | 'write'>
  let guest: Fuzz
  beforeAll(async () => {
    guest = (await load(python('fuzz_json'), { placement: 'process' })) as unknown as Fuzz
  })
  afterAll(() => guest.unload())

  test('is read as the stdlib reads it, or left to it', async () => {
    expect(await guest.parse(0, cases)).toBeGreaterThan(cases / 4)
    await guest.parse_noise(0, cases * 5)
  })

  test('is written as the stdlib writes it, or left to the kit', async () => {
    expect(await guest.write(0, cases)).toBeGreaterThan(cases / 4)
  })

  test('is left to the stdlib where it is deep', async () => {
    expect(await guest.deep(200)).toEqual([true, false, true])
    expect(await guest.deep(100_000)).toEqual([false, false, false])
  })
})

test("the kit's own tests pass", () => {
  const env = { ...process.env, PYTHONPATH: inRoot('guests/python/kit') }
  const bin = `${venvWith('numpy', 'pandas', 'polars', 'pydantic')}/bin/python`
  execFileSync(bin, ['-m', 'unittest', 'discover', '-s', inRoot('guests/python/tests')], { env, stdio: 'pipe' })
})
