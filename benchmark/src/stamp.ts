// SPDX-License-Identifier: Apache-2.0

/**
 * Writes a sequence number over both ends of a payload, so that a response can be told from every other one.
 * @param payload at least 8 bytes
 */
export function stamp(payload: Uint8Array, sequence: number): void {
  const end = payload.length - 1
  for (let index = 0; index < 4; index++) {
    const byte = (sequence >>> (8 * index)) & 0xff
    payload[index] = byte
    payload[end - index] = byte
  }
}

/** @throws Error unless `response` has the length and the stamp of the request */
export function verifyStamp(response: Uint8Array, bytes: number, sequence: number): void {
  const end = bytes - 1
  let same = response.length === bytes
  for (let index = 0; same && index < 4; index++) {
    const byte = (sequence >>> (8 * index)) & 0xff
    same = response[index] === byte && response[end - index] === byte
  }
  if (!same) throw new Error(`call ${sequence}: the response (${response.length} bytes) is not the request's`)
}

/** @throws Error unless all bytes of the response are the request's, and in memory of their own */
export function verifyWhole(response: Uint8Array, payload: Buffer): void {
  if (!payload.equals(response)) throw new Error('the response differs from the request')
  const middle = payload.length >> 1
  const byte = payload[middle] ?? 0
  payload[middle] = byte ^ 0xff
  const shared = response[middle] !== byte
  payload[middle] = byte
  if (shared) throw new Error("the response is the request's own memory")
}
