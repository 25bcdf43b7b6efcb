// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { stamp, verifyStamp, verifyWhole } from './stamp.ts'

function stamped(sequence: number, bytes = 64): Buffer {
  const payload = Buffer.alloc(bytes, 7)
  stamp(payload, sequence)
  return payload
}

describe('a stamped response', () => {
  it('passes with its own number', () => {
    verifyStamp(stamped(123_456), 64, 123_456)
    verifyWhole(stamped(123_456), stamped(123_456))
  })

  it.each([
    ['the response to another call', stamped(8)],
    ['a short response', stamped(7).subarray(0, 63)],
    ['a response that was cut and filled up', Buffer.concat([stamped(7).subarray(0, 60), Buffer.alloc(4)])],
    ['no bytes', Buffer.alloc(0)],
  ])('fails: %s', (_, response) => {
    expect(() => verifyStamp(response, 64, 7)).toThrow('is not the request')
  })

  it('fails as a whole when one byte in the middle differs', () => {
    const response = stamped(7)
    response[30] = 0
    expect(() => verifyWhole(response, stamped(7))).toThrow('differs')
  })

  it('fails as a whole when it is the request itself', () => {
    const payload = stamped(7)
    expect(() => verifyWhole(payload.subarray(0), payload)).toThrow('own memory')
  })
})
