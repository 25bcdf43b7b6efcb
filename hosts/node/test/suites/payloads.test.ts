// SPDX-License-Identifier: Apache-2.0
// Payloads of every size, there and back.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digest, filled, fnv, pattern } from '../support/bytes.ts'
import { loadPython, loadRust, type PythonGuest, type RustGuest } from '../support/guests.ts'

const kib = 1024
const mib = 2 ** 20

/** Not by `toEqual`, which looks at every byte as at a property. */
function same(one: unknown, other: Uint8Array): boolean {
  return Buffer.isBuffer(one) && one.equals(other)
}

/** Each side of each place where a payload travels another way: slots, slabs, slabs of their own. */
const sizes = [
  0,
  1,
  1023,
  1024,
  1025,
  4095,
  4096,
  4097,
  64 * kib,
  256 * kib - 1,
  256 * kib,
  256 * kib + 1,
  mib - 1,
  mib,
  mib + 1,
  16 * mib,
]

let rust: RustGuest
let python: PythonGuest
beforeAll(async () => {
  rust = await loadRust()
  python = await loadPython()
})
afterAll(() => Promise.all([rust.unload(), python.unload()]))

describe('bytes come back as they went', () => {
  for (const size of sizes) {
    test(`${size} bytes, through both guests and every kind of function`, async () => {
      const bytes = pattern(size, size)
      const before = digest(bytes)
      expect(await rust.checksum(bytes)).toBe(fnv(bytes))
      const answers = await Promise.all([
        rust.send(bytes),
        rust.echo(bytes),
        rust.echo_async(bytes),
        rust.echo_shared(bytes),
        python.send(bytes),
        python.echo(bytes),
        python.echo_async(bytes),
      ])
      for (const answer of answers) {
        expect(answer).toBeInstanceOf(Buffer)
        expect(digest(answer as Buffer)).toBe(before)
      }
      expect(digest(bytes)).toBe(before)
    })
  }

  test('1 GiB', async () => {
    const size = 2 ** 30
    const bytes = pattern(size)
    const before = digest(bytes)
    const answer = await rust.send(bytes)
    expect(answer.length).toBe(size)
    expect(digest(answer)).toBe(before)
    await expect(rust.length(Buffer.allocUnsafeSlow(size + 1))).rejects.toMatchObject({ code: 'too-large' })
  })

  test('random sizes, 64 at a time, each with its own content', async () => {
    let state = 12_345
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
      return state % below
    }
    const one = async (number: number): Promise<void> => {
      // As many small ones as large ones: each power of two is as likely as the next.
      const bytes = pattern(random(2 ** random(20)), number)
      const guest = number % 2 === 0 ? rust : python
      expect((await guest.send(bytes)).equals(bytes)).toBe(true)
    }
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 64 }, (_, index) => one(round * 64 + index)))
    }
  })
})

describe('responses', () => {
  test('of every size are what the guest made', async () => {
    for (const size of sizes) expect(same(await rust.fill(size), filled(size))).toBe(true)
  })

  test('stay as they are while thousands more come', async () => {
    const first = (await Promise.all(
      Array.from({ length: 200 }, (_, index) => rust.echo(pattern(index * 37, index))),
    )) as Buffer[]
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 200 }, (_, index) => rust.fill(index * 37)))
    }
    for (const [index, bytes] of first.entries()) expect(bytes.equals(pattern(index * 37, index))).toBe(true)
  })

  test('do not lose their neighbours when one is transferred', async () => {
    for (const size of [10, 2000, 300_000]) {
      const [one, other] = (await Promise.all([rust.fill(size), rust.fill(size)])) as [Buffer, Buffer]
      // Node refuses, or copies: either way the memory that responses share stays here.
      try {
        structuredClone(one.buffer, { transfer: [one.buffer as ArrayBuffer] })
      } catch (error) {
        expect(error).toMatchObject({ name: 'DataCloneError' })
      }
      expect(same(other, filled(size))).toBe(true)
      expect(same(await rust.fill(size), filled(size))).toBe(true)
    }
  })

  test('can be sent again, and slices of them', async () => {
    const large = (await rust.fill(100_000)) as Buffer
    expect(same(await rust.echo(large), large)).toBe(true)
    const part = large.subarray(777, 50_000)
    expect(same(await rust.echo(part), part)).toBe(true)
  })
})

describe('every kind of bytes is sent as the bytes it views', () => {
  const bytes = pattern(8000)
  const memory = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 8000) as ArrayBuffer
  const shared = new SharedArrayBuffer(8000)
  new Uint8Array(shared).set(bytes)
  const kinds: Record<string, [value: ArrayBuffer | ArrayBufferView, from: number, to: number]> = {
    ArrayBuffer: [memory, 0, 8000],
    Uint8Array: [new Uint8Array(memory, 3, 6000), 3, 6003],
    DataView: [new DataView(memory, 5, 100), 5, 105],
    Float64Array: [new Float64Array(memory, 8, 900), 8, 7208],
    Uint16Array: [new Uint16Array(memory, 2, 10), 2, 22],
    SharedArrayBuffer: [shared as unknown as ArrayBuffer, 0, 8000],
    'a small view of a SharedArrayBuffer': [new Uint8Array(shared, 10, 20), 10, 30],
    'a large view of a SharedArrayBuffer': [new Uint8Array(shared, 10, 7000), 10, 7010],
  }
  for (const [name, [value, from, to]] of Object.entries(kinds)) {
    test(name, async () => {
      const wanted = bytes.subarray(from, to)
      expect(same(await rust.send(value), wanted)).toBe(true)
      expect(same(await python.echo(value), wanted)).toBe(true)
    })
  }
})

describe('texts of several bytes a character come back whole at the edges of the slots', () => {
  const lengths = [0, 1, 341, 342, 1022, 1023, 1024, 1364, 1365, 1366, 2047, 2048, 4093, 4094, 4095, 4096, 100_000]
  for (const character of ['a', 'é', '€', '😀', '"', '\n']) {
    test(JSON.stringify(character), async () => {
      for (const length of lengths) {
        const text = character.repeat(length)
        const [one, other] = await Promise.all([rust.echo_value(text), python.echo(text)])
        expect(one === text).toBe(true)
        expect(other === text).toBe(true)
      }
    })
  }
})

describe('a resizable ArrayBuffer', () => {
  type Resizable = ArrayBuffer & { resize(length: number): void }
  const make = (length: number): Resizable =>
    new (ArrayBuffer as new (length: number, options: object) => ArrayBuffer)(length, {
      maxByteLength: 2 * length,
    }) as Resizable

  test('that shrinks while the guest reads it does no harm', async () => {
    const memory = make(mib)
    new Uint8Array(memory).fill(7)
    const wanted = fnv(new Uint8Array(memory))
    const calls = Array.from({ length: 8 }, () => rust.checksum(memory))
    memory.resize(4096)
    expect(await Promise.all(calls)).toEqual(calls.map(() => wanted))
  })
})
