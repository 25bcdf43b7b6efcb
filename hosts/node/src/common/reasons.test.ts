// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { PolyloopError } from './errors.ts'
import { isOurs, reasonOf, refusalOf, toPolyloop } from './reasons.ts'

const fail = (): never => {
  throw new Error('it may not be looked at')
}

/** Whatever can be thrown. */
const thrown: readonly (readonly [what: string, error: unknown])[] = [
  ['nothing', undefined],
  ['null', null],
  ['a number', 7],
  ['a symbol', Symbol('s')],
  ['an object without a prototype', Object.create(null)],
  ['an object that has no text', { toString: fail }],
  ['an error without a message', Object.assign(new Error('x'), { message: undefined })],
  ['an error whose message cannot be read', Object.defineProperty(new Error('x'), 'message', { get: fail })],
  ['an error whose code cannot be read', Object.defineProperty(new Error('x'), 'code', { get: fail })],
  ['a proxy that answers nothing', new Proxy({}, { get: fail, getPrototypeOf: fail, has: fail })],
  ['a function', fail],
  ['a BigInt', 1n],
]

describe('whatever is thrown', () => {
  test.each(thrown)('%s: it is told in words, with a code', (_, error) => {
    expect(isOurs(error)).toBe(false)
    expect(typeof reasonOf(error)).toBe('string')
    const ours = toPolyloop(error, 'it cannot be done')
    expect(ours).toBeInstanceOf(PolyloopError)
    expect(ours.code).toBe('init-failed')
    expect(ours.message).toMatch(/^it cannot be done: /)
    expect(ours.cause).toBe(error)
  })

  test('an error of ours stays as it is', () => {
    const error = new PolyloopError('not-found', 'x')
    expect(toPolyloop(error, 'it cannot be done')).toBe(error)
  })
})

describe('what the system refuses has a code, and advice', () => {
  test.each([
    [Object.assign(new Error('spawn x EMFILE'), { code: 'EMFILE' }), 'overloaded', 'ulimit -n'],
    [new Error('Too many open files (os error 24)'), 'overloaded', 'ulimit -n'],
    [new Error('Too many open files in system (os error 23)'), 'overloaded', 'fs.file-max'],
    [new Error('Cannot allocate memory (os error 12)'), 'overloaded', 'ulimit -v'],
    [new Error('Function not implemented (os error 38)'), 'init-failed', 'seccomp'],
    [new Error('Operation not permitted (os error 1)'), 'init-failed', "try placement: 'thread'"],
    [new Error('spawn EAGAIN'), 'overloaded', 'ulimit -u'],
    [new Error('spawn E2BIG'), 'too-large', 'process.env'],
    [new Error('ENOSPC: no space left on device, copyfile'), 'overloaded', 'free some'],
  ] as const)('%s', (error, code, words) => {
    expect(toPolyloop(error, 'x', 'protocol')).toMatchObject({ code })
    expect(toPolyloop(error, 'x').message).toContain(words)
  })

  test('and what nobody knows has neither', () => {
    for (const error of [
      'ELSE',
      new Error('EVERYTHING is wrong'),
      new Error('(os error 0)'),
      new Error('(os error 999)'),
    ]) {
      expect(refusalOf(error)).toBeUndefined()
    }
    expect(toPolyloop(new Error('x'), 'y', 'protocol')).toMatchObject({ code: 'protocol', message: 'y: x' })
  })
})
