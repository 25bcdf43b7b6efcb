// SPDX-License-Identifier: Apache-2.0
// What only Node.js has to do with payloads: its kinds of bytes, and buffers that change; conformance/ has every size.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digest, filled, fnv, pattern } from '../support/bytes.ts'
import { rejection } from '../support/calls.ts'
import { loadRust, type RustGuest } from '../support/guests.ts'

const mib = 2 ** 20

/** Not by `toEqual`, which looks at every byte as at a property. */
function same(one: unknown, other: Uint8Array): boolean {
  return Buffer.isBuffer(one) && one.equals(other)
}

let rust: RustGuest
beforeAll(async () => {
  rust = await loadRust()
})
afterAll(() => rust.unload())

describe('bytes come back as they went', () => {
  test('1 GiB', async () => {
    const size = 2 ** 30
    const bytes = pattern(size)
    const before = digest(bytes)
    const answer = await rust.send(bytes)
    expect(answer.length).toBe(size)
    expect(digest(answer)).toBe(before)
    await expect(rust.length(Buffer.allocUnsafeSlow(size + 1))).rejects.toMatchObject({ code: 'too-large' })
  })
})

describe('responses', () => {
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
})

describe('every kind of bytes is sent as the bytes it views', () => {
  const bytes = pattern(8000)
  const memory = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 8000) as ArrayBuffer
  const shared = new SharedArrayBuffer(8000)
  new Uint8Array(shared).set(bytes)
  // As an argument these are numbers, and no bytes.
  const arrays: Record<string, [value: ArrayBufferView, from: number, to: number]> = {
    Float64Array: [new Float64Array(memory, 8, 900), 8, 7208],
    Uint16Array: [new Uint16Array(memory, 2, 10), 2, 22],
  }
  const kinds: Record<string, [value: ArrayBuffer | ArrayBufferView, from: number, to: number]> = {
    ArrayBuffer: [memory, 0, 8000],
    Uint8Array: [new Uint8Array(memory, 3, 6000), 3, 6003],
    DataView: [new DataView(memory, 5, 100), 5, 105],
    ...arrays,
    SharedArrayBuffer: [shared as unknown as ArrayBuffer, 0, 8000],
    'a small view of a SharedArrayBuffer': [new Uint8Array(shared, 10, 20), 10, 30],
    'a large view of a SharedArrayBuffer': [new Uint8Array(shared, 10, 7000), 10, 7010],
  }
  for (const [name, [value, from, to]] of Object.entries(kinds)) {
    test(name, async () => {
      const wanted = bytes.subarray(from, to)
      expect(same(await rust.send(value), wanted)).toBe(true)
      if (name in arrays) {
        await rejection(rust.echo(value), 'invalid-argument', 'an array of numbers, expected bytes', 'array.buffer')
        return
      }
      expect(same(await rust.echo(value), wanted)).toBe(true)
    })
  }
})

describe.each(['thread', 'process'] as const)('bytes that the caller changes before the answer, %s', (placement) => {
  test.each([1, 4096, 4097, mib])('%i of them', async (length) => {
    const guest = await loadRust({ placement })
    const bytes = pattern(length)
    const sent = Buffer.from(bytes)
    const keeping = guest.keep(bytes)
    bytes.fill(9)
    await keeping
    // docs/guide/calls.md says which of the two.
    const isLent = placement === 'thread' && length > 4096
    expect(same(await guest.kept(), isLent ? bytes : sent)).toBe(true)
    await guest.unload()
  })
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
