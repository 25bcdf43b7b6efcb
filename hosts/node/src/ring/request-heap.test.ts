// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { native, openNative } from '../native/addon.ts'
import { type Allocation, RequestHeap } from './request-heap.ts'

const mib = 2 ** 20
/** Beyond 4 GiB: an address has two words. */
const first = 2 ** 40

let mapped: number[]
let memory: RequestHeap
beforeEach(() => {
  openNative()
  mapped = []
  memory = new RequestHeap(1)
  vi.spyOn(native, 'openRequestHeap').mockImplementation(() => {})
  memory.open(false)
  vi.spyOn(native, 'alloc').mockImplementation((_id, bytes) => {
    mapped.push(bytes)
    return [new ArrayBuffer(bytes), first + (mapped.length - 1) * 64 * mib]
  })
})

const take = (bytes: number): Allocation => {
  const place = memory.take(bytes)
  if (place === undefined) throw new Error(`there is no place for ${bytes} bytes`)
  return place
}

describe('places', () => {
  test('are of powers of two, and a megabyte at most', () => {
    const sizes = [1, 4097, 8192, 8193, 100_000, mib - 1, mib]
    expect(sizes.map((size) => take(size).bytes.length)).toEqual([8192, 8192, 8192, 16_384, 131_072, mib, mib])
    expect(memory.take(mib + 1)).toBeUndefined()
  })

  test('lie apart, each where its address says', () => {
    const places = Array.from({ length: 300 }, () => take(8192))
    expect(mapped).toEqual([mib, mib, mib])
    expect(new Set(places.map(({ address }) => address)).size).toBe(300)
    for (const { address, bytes } of places) expect((address - first) % (64 * mib)).toBe(bytes.byteOffset)
  })

  test('serve again, the last one first', () => {
    const [one, other] = [take(50_000), take(50_000)]
    memory.give(one)
    memory.give(other)
    expect(take(60_000)).toBe(other)
    expect(take(40_000)).toBe(one)
    expect(mapped).toHaveLength(1)
  })

  test('are kept up to 64 MiB', () => {
    const places = Array.from({ length: 100 }, () => take(mib))
    for (const place of places) memory.give(place)
    for (let count = 0; count < 64; count++) take(mib)
    expect(mapped).toHaveLength(100)
    take(mib)
    expect(mapped).toHaveLength(101)
  })
})

describe("callers' memory", () => {
  test('is found by its address, whatever part of it is asked for, and nothing else is', () => {
    const [small, large] = [memory.alloc(10_000), memory.alloc(3 * mib)]
    expect(memory.find(small)).toBe(first)
    expect(memory.find(memory.alloc(10_000))).toBe(first + 10_112)
    expect(memory.find(large.subarray(5))).toBe(first + 64 * mib + 5)
    expect(memory.find(take(10_000).bytes)).toBeUndefined()
    expect(memory.find(Buffer.alloc(10_000))).toBeUndefined()
  })

  test('is plain where no instance has begun, and after the last one', () => {
    const forget = vi.spyOn(native, 'releaseRequestHeap').mockImplementation(() => {})
    const other = new RequestHeap(2)
    expect(other.find(other.alloc(10_000))).toBeUndefined()
    expect(other.open(true)).toBe(2)
    const bytes = other.alloc(10_000)
    expect(other.find(bytes)).toBe(first)
    other.close()
    other.close()
    expect(forget.mock.calls).toEqual([[2]])
    expect(other.find(other.alloc(10_000))).toBeUndefined()
    bytes.fill(1)
  })

  test('is not opened again after the last instance, nor where none has begun', () => {
    const forget = vi.spyOn(native, 'releaseRequestHeap').mockImplementation(() => {})
    forget.mockClear()
    const never = new RequestHeap(3)
    never.close()
    memory.close()
    expect(forget.mock.calls).toEqual([[1]])
    for (const closed of [never, memory]) {
      expect(() => closed.open(false)).toThrow(expect.objectContaining({ code: 'unloaded' }))
    }
  })

  test('is plain where a request is copied anyway', () => {
    expect(memory.find(memory.alloc(4096))).toBeUndefined()
    expect(mapped).toEqual([])
  })

  test('has a chunk in common up to 256 KB', () => {
    const requests = Array.from({ length: 4 }, () => memory.alloc(256 * 1024))
    expect(new Set(requests.map(({ buffer }) => buffer)).size).toBe(1)
    expect(memory.alloc(4097).buffer).not.toBe(requests[0]?.buffer)
    expect(memory.alloc(256 * 1024 + 1).buffer.byteLength).toBe(256 * 1024 + 1)
    expect(mapped).toEqual([mib, mib, 256 * 1024 + 1])
  })

  test('that cannot be had is an error that says so', () => {
    vi.spyOn(native, 'alloc').mockImplementation(() => {
      throw new Error('all places are taken')
    })
    expect(() => memory.alloc(10_000)).toThrow('no memory for requests of 1048576 bytes: all places are taken')
    expect(() => memory.take(10_000)).toThrow(expect.objectContaining({ code: 'overloaded' }))
    vi.spyOn(native, 'alloc').mockImplementation(() => {
      throw Object.assign(new Error('there are 16 MiB in all'), { code: 'too-large' })
    })
    expect(() => memory.alloc(2 ** 30)).toThrow(expect.objectContaining({ code: 'too-large' }))
  })
})
