// SPDX-License-Identifier: Apache-2.0

/** The pattern repeats after this many bytes: a piece in the wrong place is noticed. */
const period = 65_536

/** The bytes that fixtures make, too (`fill`, with the seed 0): byte i is (31 i + (i >> 8) + seed) & 255. */
export function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  const first = Math.min(length, period)
  for (let at = 0; at < first; at++) bytes[at] = (at * 31 + (at >> 8) + seed) & 0xff
  // Copies what is there behind itself: quick for a gigabyte, too.
  for (let done = first; done < length; done *= 2) bytes.copy(bytes, done, 0, Math.min(done, length - done))
  return bytes
}
