// SPDX-License-Identifier: Apache-2.0
import { PolyloopError } from './errors.ts'

/** Bytes that one request or response can have at most: what `maxPayload` may be raised to. */
export const mostPayload: number = 2 ** 30

/** @param bytes - of a request that is larger than `maxPayload` allows */
export function tooLarge(bytes: number, maxPayload: number): PolyloopError {
  const limit = `the request has ${bytes} bytes and maxPayload is ${maxPayload}`
  const advice =
    maxPayload < mostPayload
      ? 'raise maxPayload, or send less at a time'
      : 'it cannot be raised, send less at a time, as a stream of parts say'
  return new PolyloopError('too-large', `${limit}: ${advice}`)
}
