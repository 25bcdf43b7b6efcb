// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { FrameReader, HEADER_BYTES } from './frames.ts'

function frame(payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(payload.length)
  return Buffer.concat([header, payload])
}

function feed(reader: FrameReader, stream: Buffer, pieceBytes: number): void {
  for (let position = 0; position < stream.length; ) {
    const space = reader.space()
    expect(space.length).toBeGreaterThan(0)
    const count = stream.copy(space, 0, position, Math.min(position + pieceBytes, stream.length))
    reader.filled(count)
    position += count
  }
}

const payloads = [0, 1, 3, 512, 0, 40, 5000, 2, 700].map((bytes, index) => Buffer.alloc(bytes, index + 1))
const stream = Buffer.concat(payloads.map(frame))

describe('FrameReader', () => {
  for (const pieceBytes of [1, 2, 3, 5, 7, 511, 4096, stream.length]) {
    for (const blockBytes of [16, 600, 1 << 20]) {
      it(`finds the same frames in pieces of ${pieceBytes} bytes and blocks of ${blockBytes}`, () => {
        const found: Buffer[] = []
        feed(new FrameReader((payload) => found.push(payload), blockBytes), stream, pieceBytes)
        expect(found).toEqual(payloads)
      })
    }
  }

  it('delivers nothing of a frame that is not complete', () => {
    const found: Buffer[] = []
    feed(new FrameReader((payload) => found.push(payload)), stream.subarray(0, -1), 64)
    expect(found).toHaveLength(payloads.length - 1)
  })
})
