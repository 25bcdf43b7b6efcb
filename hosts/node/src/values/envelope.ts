// SPDX-License-Identifier: Apache-2.0
// The form of values that JSON alone cannot carry: a JSON text with tags, and bytes that are attached to it.
// docs/internals/values.md describes it.

/** The first byte: no JSON text begins with it. */
export const mark = 0x01
const version = 1

/** Bytes before the table of attachments, and of an entry there. */
const headerBytes = 16
const entryBytes = 16

/** What attachments begin at a multiple of: those of numbers, and those of bytes. */
export const numbersAt = 64
export const bytesAt = 8

/** Bytes beside the text, and what they begin at a multiple of. */
export interface Attachment {
  readonly bytes: Uint8Array
  readonly at: typeof numbersAt | typeof bytesAt
}

const up = (offset: number, multiple: number): number => Math.ceil(offset / multiple) * multiple

/** Puts a text and its attachments into one payload. */
export function pack(text: string, attachments: readonly Attachment[]): Uint8Array {
  const textLength = Buffer.byteLength(text)
  const textAt = headerBytes + attachments.length * entryBytes
  let end = textAt + textLength
  const offsets = attachments.map(({ bytes, at }) => {
    const offset = up(end, at)
    end = offset + bytes.length
    return offset
  })
  // Zeros between them: nothing of this process's memory goes along.
  const payload = Buffer.alloc(end)
  payload[0] = mark
  payload[1] = version
  payload.writeUInt32LE(textLength, 4)
  payload.writeUInt32LE(attachments.length, 8)
  payload.write(text, textAt, 'utf8')
  for (const [index, { bytes }] of attachments.entries()) {
    const entry = headerBytes + index * entryBytes
    payload.writeBigUInt64LE(BigInt(offsets[index] as number), entry)
    payload.writeBigUInt64LE(BigInt(bytes.length), entry + 8)
    payload.set(bytes, offsets[index])
  }
  return payload
}

/** What was in a payload: places of the attachments, each from one byte to another. */
export interface Unpacked {
  readonly text: readonly [from: number, to: number]
  readonly attachments: readonly (readonly [from: number, to: number])[]
}

/**
 * Reads where things are. Each word is read once: another process may be able to change it.
 *
 * @throws RangeError if it is no envelope
 */
export function unpack(payload: Buffer): Unpacked {
  const { length } = payload
  if (length < headerBytes || payload[0] !== mark) throw new RangeError('it is no envelope')
  if (payload[1] !== version) throw new RangeError(`it is an envelope of version ${payload[1]}, and not of ${version}`)
  const [textLength, count] = [payload.readUInt32LE(4), payload.readUInt32LE(8)]
  const textAt = headerBytes + count * entryBytes
  let end = textAt + textLength
  if (end > length) throw new RangeError('its text ends beyond it')
  const attachments: (readonly [number, number])[] = []
  for (let index = 0; index < count; index++) {
    const entry = headerBytes + index * entryBytes
    const from = toNumber(payload, entry)
    const to = from + toNumber(payload, entry + 8)
    if (from < end || to > length) throw new RangeError(`its attachment ${index} does not lie where one may`)
    attachments.push([from, to])
    end = to
  }
  return { text: [textAt, textAt + textLength], attachments }
}

/** A number of 64 bits; what no payload reaches is beyond all of them. */
function toNumber(payload: Buffer, at: number): number {
  return payload.readUInt32LE(at) + payload.readUInt32LE(at + 4) * 2 ** 32
}
