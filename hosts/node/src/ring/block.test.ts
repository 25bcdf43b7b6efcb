// SPDX-License-Identifier: Apache-2.0
// The layout that JavaScript writes and reads, held to spec/ring.json, which the Rust side is held to as well.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { inRoot } from '../../test/support/paths.ts'
import {
  entryWords,
  flag,
  generations,
  header,
  inlineRequestBytes,
  inlineResponseBytes,
  kind,
  magic,
  slabSizes,
  version,
  windowBytes,
} from '../common/layout.ts'
import { Block } from './block.ts'
import { RequestBuffers } from './request-buffers.ts'
import { RequestHeap } from './request-heap.ts'
import { SubmissionRing } from './submission.ts'

interface Layout {
  readonly calls: number
  readonly constants: Readonly<Record<string, number>>
}

interface Golden {
  readonly entryBytes: number
  readonly headerBytes: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly windowBytes: number
  readonly slabSizes: readonly (readonly [number, number])[]
  readonly generations: number
  readonly magic: number
  readonly version: number
  readonly flags: Readonly<Record<string, number>>
  readonly kinds: Readonly<Record<string, number>>
  readonly headerOffsets: Readonly<Record<string, number>>
  readonly layouts: readonly Layout[]
  readonly submission: { readonly bytes: string; readonly fields: Readonly<Record<string, number | string>> }
  readonly completion: { readonly bytes: string; readonly fields: Readonly<Record<string, number | string>> }
}

const golden = JSON.parse(readFileSync(inRoot('spec/ring.json'), 'utf8')) as Golden

/** Words of the first line of a header. */
const constants = [
  'magic',
  'version',
  'slots',
  'sqEntries',
  'cqEntries',
  'sqOffset',
  'cqOffset',
  'pinsOffset',
  'requestsOffset',
  'responsesOffset',
  'total',
  'carriers',
  'controlEntries',
  'controlOffset',
  'credits',
]

function memory(layout: Layout): ArrayBuffer {
  const buffer = new ArrayBuffer(layout.constants.total as number)
  new Int32Array(buffer).set(constants.map((name) => layout.constants[name] as number))
  return buffer
}

describe('the layout', () => {
  test('has the sizes and numbers of the Rust side', () => {
    expect({
      magic,
      version,
      inlineRequestBytes,
      inlineResponseBytes,
      windowBytes,
      slabSizes,
      generations,
      entryBytes: entryWords * 4,
    }).toEqual({
      magic: golden.magic,
      version: golden.version,
      inlineRequestBytes: golden.requestBytes,
      inlineResponseBytes: golden.responseBytes,
      windowBytes: golden.windowBytes,
      slabSizes: golden.slabSizes,
      generations: golden.generations,
      entryBytes: golden.entryBytes,
    })
    expect(kind).toEqual(golden.kinds)
    expect(flag).toMatchObject(golden.flags)
  })

  test('has the words of the header where they are', () => {
    const offsets = Object.entries(header).map(([name, word]) => [name, word * 4])
    expect(Object.fromEntries(offsets)).toEqual(golden.headerOffsets)
  })

  for (const layout of golden.layouts.filter(({ calls }) => calls <= 1024)) {
    test(`of ${layout.calls} calls is read as it is written`, () => {
      const block = new Block(memory(layout))
      const { sqOffset, cqOffset, pinsOffset, requestsOffset, responsesOffset } = layout.constants
      expect(block).toMatchObject({
        slots: layout.constants.slots,
        sqMask: (layout.constants.sqEntries as number) - 1,
        cqMask: (layout.constants.cqEntries as number) - 1,
        sq: (sqOffset as number) / 4,
        cq: (cqOffset as number) / 4,
        pins: pinsOffset,
        requests: requestsOffset,
        responses: responsesOffset,
      })
    })
  }

  test('of another version is refused', () => {
    const [layout] = golden.layouts as [Layout]
    for (const [word, value] of [
      [0, 1],
      [1, version + 1],
    ] as const) {
      const buffer = memory(layout)
      new Int32Array(buffer)[word] = value
      expect(() => new Block(buffer)).toThrow('build both again')
    }
  })
})

describe('a submission', () => {
  const layout = golden.layouts.find(({ calls }) => calls === 5) as Layout
  const number = (name: string): bigint => BigInt(golden.submission.fields[name] as number | string)

  /** The entry as a guest reads it. */
  function entry(block: Block, index: number): Buffer {
    return Buffer.from(block.bytes.buffer, block.bytes.byteOffset + block.sq * 4 + index * golden.entryBytes, 32)
  }

  test('has the golden bytes in every field that JavaScript writes', () => {
    const block = new Block(memory(layout))
    const ring = new SubmissionRing(0, block, new RequestBuffers(0, block, new RequestHeap(0), false))
    const bytes = Buffer.from(golden.submission.bytes, 'hex')
    // A double cannot hold all 64 bits of the golden deadline; its upper 53 do.
    const deadline = Number(number('deadline') & ~0x7ffn)
    // Slots are few in this block; the entry's word is checked with the number of one that is there.
    ring.push(3, Number(number('flags')), Number(number('method')), undefined, deadline, undefined)
    const written = entry(block, 0)
    const wanted = Buffer.from(bytes)
    wanted.writeUInt32LE(3, 0)
    // What unary calls leave 0: the stream. The payload is in the slot: no address, and no length here.
    wanted.fill(0, 8, 24)
    wanted.writeBigUInt64LE(BigInt(deadline), 24)
    expect(written.toString('hex')).toBe(wanted.toString('hex'))
    expect(block.words[header.sqTail]).toBe(1)
  })

  test('puts a payload into its slot, and its length in bytes into the entry', () => {
    const block = new Block(memory(layout))
    const ring = new SubmissionRing(0, block, new RequestBuffers(0, block, new RequestHeap(0), false))
    for (const [slot, payload] of [Buffer.from('abc'), 'grüße', '€'.repeat(1365), new Uint8Array(4096)].entries()) {
      const bytes = Buffer.from(payload as string)
      expect(ring.push(slot, 0, 0, payload, 0, undefined)).toBe(bytes.length)
      expect(entry(block, slot).readUInt32LE(0)).toBe(slot)
      expect(entry(block, slot).readUInt32LE(12)).toBe(bytes.length)
      const start = block.requests + slot * inlineRequestBytes
      expect(block.bytes.subarray(start, start + bytes.length).equals(bytes)).toBe(true)
    }
  })

  test('goes round the ring, and the tail counts on', () => {
    const block = new Block(memory(layout))
    const ring = new SubmissionRing(0, block, new RequestBuffers(0, block, new RequestHeap(0), false))
    for (let count = 0; count < 40; count++) ring.push(count % block.slots, 0, count, undefined, 0, undefined)
    expect(block.words[header.sqTail]).toBe(40)
    expect(entry(block, 39 & block.sqMask).readUInt16LE(6)).toBe(39)
    expect(entry(block, 40 & block.sqMask).readUInt16LE(6)).toBe(40 - (block.sqMask + 1))
  })
})

test('a completion has its fields where the drain reads them', () => {
  const { bytes, fields } = golden.completion
  const raw = Buffer.from(bytes, 'hex')
  const words = Array.from({ length: entryWords }, (_, word) => raw.readUInt32LE(word * 4))
  const [task, meta = 0, stream, length, slab, offset, low, high] = words
  expect({ task, stream, length, slab, offset }).toMatchObject({
    task: fields.task,
    stream: fields.stream,
    length: fields.length,
    slab: fields.slab,
    offset: fields.offset,
  })
  expect([meta & 0xff, (meta >>> 8) & 0xff, meta >>> 16]).toEqual([fields.kind, fields.flags, fields.status])
  expect((BigInt(high as number) << 32n) | BigInt(low as number)).toBe(BigInt(fields.aux as string))
})
