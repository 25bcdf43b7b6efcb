// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'

/** Bytes that repeat only after 64 KB: a piece in the wrong place is noticed. */
export function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  const first = Math.min(length, 65_521)
  for (let at = 0; at < first; at++) bytes[at] = (at * 31 + (at >> 8) * 7 + seed) & 0xff
  // Copies what is there behind itself: quick for a gigabyte, too.
  for (let done = first; done < length; done *= 2) bytes.copy(bytes, done, 0, Math.min(done, length - done))
  return bytes
}

/** What the Rust fixture's `fill` makes. */
export function filled(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8)) & 0xff
  return bytes
}

/** What the Rust fixture's `checksum` answers: FNV-1a. */
export function fnv(bytes: Uint8Array): number {
  let hash = 0x811c_9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193)
  return hash >>> 0
}

/** A short name for long bytes. */
export function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
