// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { callAside, readFrom } from './call-back.ts'
import { PolyloopError } from './errors.ts'

const fail = (): never => {
  throw new Error('no')
}

test('what is called aside is called later, and may do what it likes', async () => {
  const called: string[] = []
  callAside(() => called.push('first'))
  callAside(fail)
  callAside(() => Promise.reject(new Error('no')))
  // biome-ignore lint/suspicious/noThenProperty: that is what is tested
  callAside(() => ({ then: fail }))
  callAside(() => Object.defineProperty({}, 'then', { get: fail }))
  callAside(() => Object.defineProperty(Promise.resolve(), 'constructor', { get: fail }))
  callAside(() => called.push('last'))
  expect(called).toEqual([])
  await new Promise((resolve) => setImmediate(resolve))
  expect(called).toEqual(['first', 'last'])
})

test('what cannot be read is invalid-argument; an error of ours stays', () => {
  expect(readFrom('it', () => 1)).toBe(1)
  const error = new PolyloopError('too-large', 'x')
  expect(() =>
    readFrom('it', () => {
      throw error
    }),
  ).toThrow(error)
  expect(() => readFrom('the option', fail)).toThrow(
    expect.objectContaining({ code: 'invalid-argument', message: 'the option cannot be read: no' }),
  )
})
