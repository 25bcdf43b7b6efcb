// SPDX-License-Identifier: Apache-2.0
// What a guest's process says over the lifeline, as `crates/guest-process/src/child/lifeline.rs` writes it: lines of JSON.
import type { Readable } from 'node:stream'
import { fieldsOf } from '../common/words.ts'

/** Bytes of a manifest, or of an error, that a guest may tell: `LONGEST_WORDS` of `crates/connection/src/error.rs`. */
export const longestWords: number = 16 << 20

/** Bytes of a line: JSON within JSON, whose quotes and backslashes are two each, and what stands around it. */
const longestLine = longestWords * 2 + 1024

/** Bytes that are handed on of a line that is longer: no sound process writes one. */
const shown = 1024

/** Lines that are handed on: there are five events, each told once, so that one of these is a breach if there are more. */
const most = 8

const newline = 0x0a

/**
 * Hands on what is said, line by line, each without its end. Half a line is none: who wrote it has died. After a line
 * that is too long, or too many, nothing more is handed on.
 */
export function hear(from: Readable, take: (line: string) => void): void {
  const pieces: Buffer[] = []
  let length = 0
  let left = most
  const keep = (bytes: Buffer): void => {
    pieces.push(bytes)
    length += bytes.length
  }
  const tell = (): void => {
    const isTooLong = length > longestLine
    const line = Buffer.concat(pieces.splice(0), isTooLong ? shown : length).toString()
    length = 0
    left = isTooLong ? 0 : left - 1
    take(line)
  }
  from.on('data', (bytes: Buffer) => {
    let start = 0
    for (let end = bytes.indexOf(newline); end >= 0 && left > 0; end = bytes.indexOf(newline, start)) {
      keep(bytes.subarray(start, end))
      start = end + 1
      tell()
    }
    if (left === 0) return
    keep(bytes.subarray(start))
    if (length > longestLine) tell()
  })
}

/** What a line says, if it says anything. */
export interface Said {
  readonly event: string | undefined
  /** A number of 32 bits, 0 if it says none. */
  readonly rc: number
  /** A text, empty if it says none. */
  readonly payload: string
}

/** Reads a line, field by field. Never throws: what is no JSON says nothing. */
export function toSaid(line: string): Said {
  const { event, rc, payload } = fieldsOf(line)
  return {
    event: typeof event === 'string' ? event : undefined,
    rc: Number.isInteger(rc) && ((rc as number) | 0) === rc ? rc : 0,
    payload: typeof payload === 'string' ? payload : '',
  }
}
