// SPDX-License-Identifier: Apache-2.0
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hear, longestWords, toSaid } from './lifeline.ts'

/** What is handed on of these pieces, whose writer then dies. */
async function heard(pieces: readonly Uint8Array[]): Promise<string[]> {
  const from = new PassThrough()
  const taken: string[] = []
  hear(from, (line) => taken.push(line))
  for (const piece of pieces) from.write(piece)
  from.end()
  await new Promise((resolve) => from.once('end', resolve))
  return taken
}

/** Bytes in pieces of these lengths, and the rest. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  let start = 0
  const pieces = lengths.map((length) => {
    const piece = bytes.subarray(start, start + length)
    start += length
    return piece
  })
  return [...pieces, bytes.subarray(start)]
}

describe('a line', () => {
  test('comes whole, however it is cut, and half a line does not come', async () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replaceAll('\n', ' '))
    const lengths = fc.array(fc.nat(30))
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), line, lengths, async (lines, half, lengths) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join('') + half)
        expect(await heard(cut(bytes, lengths))).toEqual(lines.map((text) => Buffer.from(text).toString()))
      }),
    )
  })

  test('of what a guest may declare comes whole', async () => {
    const line = JSON.stringify({ event: 'ready', payload: '"'.repeat(longestWords) })
    const [taken] = await heard([Buffer.from(line), Buffer.from('\n')])
    expect(toSaid(taken as string).payload.length).toBe(longestWords)
  })

  test.each([
    ['with', '\n'],
    ['without', ''],
  ])('that is longer (%s an end) is handed on by its beginning, and nothing after it', async (_, end) => {
    const piece = Buffer.alloc(1 << 20, 'x')
    const pieces = Array.from({ length: 40 }, () => piece)
    const taken = await heard([...pieces, Buffer.from(`${end}{"event":"closed"}\n`), ...pieces])
    expect(taken).toEqual(['x'.repeat(1024)])
  })

  test('is one of few: no sound process says more', async () => {
    expect(await heard([Buffer.from('\n'.repeat(1e6))])).toEqual(Array.from({ length: 8 }, () => ''))
  })
})

describe('what a line says', () => {
  test('is read field by field', () => {
    expect(toSaid('{"event":"failed","rc":-3,"payload":"x"}')).toEqual({ event: 'failed', rc: -3, payload: 'x' })
  })

  test.each([
    '{nope',
    '',
    'null',
    '7',
    '[]',
    '"event"',
    '{"event":7,"rc":"1","payload":[]}',
    '{"rc":1e400}',
    '{"rc":1.5}',
  ])('is nothing in %s', (line) => {
    expect(toSaid(line)).toEqual({ event: undefined, rc: 0, payload: '' })
  })

  test('is of its type, whatever the line', () => {
    const near = fc.record({ event: fc.jsonValue(), rc: fc.jsonValue(), payload: fc.jsonValue() }, { requiredKeys: [] })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          near.map((value) => JSON.stringify(value)),
        ),
        (line) => {
          const { event, rc, payload } = toSaid(line)
          expect(event === undefined || typeof event === 'string').toBe(true)
          expect(rc).toBe(rc | 0)
          expect(typeof payload).toBe('string')
        },
      ),
    )
  })
})
