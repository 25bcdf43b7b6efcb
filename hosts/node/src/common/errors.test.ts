// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorCodes, PolyloopError } from './errors.ts'

test('the set of codes is closed and has no doubles', () => {
  expect(new Set(errorCodes).size).toBe(errorCodes.length)
  expect(errorCodes).toHaveLength(11)
})

test('an error is an Error with a name, a code, and a cause only where one was given', () => {
  const error = new PolyloopError('protocol', 'a message')
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ name: 'PolyloopError', code: 'protocol', message: 'a message' })
  expect('cause' in error).toBe(false)
  expect('rc' in error).toBe(false)
  expect(new PolyloopError('protocol', 'x', { cause: undefined })).toHaveProperty('cause', undefined)
})

describe('an error object of a guest', () => {
  const read = (object: unknown): PolyloopError => PolyloopError.fromGuest('guest-error', JSON.stringify(object))

  test('becomes an error with its type, message, code, rc and stack', () => {
    const error = read({ type: 'ValueError', message: 'no', code: 'mine', rc: 7, stack: 'Traceback\n  line 1\n' })
    expect(error).toMatchObject({ code: 'guest-error', message: 'ValueError: no', rc: 7 })
    expect(error.guest).toEqual({ type: 'ValueError', message: 'no', code: 'mine', stack: 'Traceback\n  line 1\n' })
    expect(error.stack).toBe('PolyloopError: ValueError: no\n    Traceback\n      line 1')
  })

  test('keeps the chain of causes', () => {
    const error = read({
      type: 'A',
      message: 'a',
      cause: { type: 'B', message: 'b', cause: { type: 'C', message: 'c' } },
    })
    expect(error.cause).toBeInstanceOf(PolyloopError)
    expect((error.cause as Error).cause).toMatchObject({ message: 'C: c', code: 'guest-error', rc: 1 })
  })

  test('that lacks what it should have, or has it of another type, is still an error that can be read', () => {
    for (const object of [{}, { type: 1, message: {}, rc: 'x', stack: 5, code: 9, cause: 'text' }, []]) {
      const error = read(object)
      expect(error).toMatchObject({ code: 'guest-error', message: 'Error: the guest gave no message', rc: 1 })
      expect(error.guest).toEqual({ type: 'Error', message: 'the guest gave no message' })
    }
  })

  test('that is no object in JSON is a protocol error that shows its beginning', () => {
    for (const json of ['', 'not JSON', 'null', '7', '"text"']) {
      const error = PolyloopError.fromGuest('guest-error', json)
      expect(error).toMatchObject({ code: 'protocol' })
      expect(error.message).toContain(`not a JSON object: ${json}`)
    }
    expect(PolyloopError.fromGuest('guest-error', 'x'.repeat(10_000)).message.length).toBeLessThan(300)
  })

  test('of a kit that could not read an argument is invalid-argument, in a call alone', () => {
    const object = { code: 'invalid-argument', type: 'InvalidArgument', message: 'no' }
    expect(read(object).code).toBe('invalid-argument')
    expect(PolyloopError.fromGuest('init-failed', JSON.stringify(object)).code).toBe('init-failed')
  })

  test('of a loader that did not find a module is not-found, in a load alone', () => {
    const object = { code: 'not-found', type: 'ModuleNotFoundError', message: 'no' }
    expect(PolyloopError.fromGuest('init-failed', JSON.stringify(object)).code).toBe('not-found')
    expect(read(object).code).toBe('guest-error')
  })

  test('has the rc that start failed with', () => {
    expect(PolyloopError.fromGuest('init-failed', '{"rc":3}', 42).rc).toBe(42)
  })

  test("with a code of ours and our type is the host's own error", () => {
    expect(read({ type: 'PolyloopError', code: 'too-large', message: 'big' })).toMatchObject({
      code: 'too-large',
      message: 'big',
    })
    expect(read({ type: 'PolyloopError', code: 'made-up', message: 'x' }).code).toBe('guest-error')
  })
})

describe('any text', () => {
  const field = fc.oneof(fc.jsonValue(), fc.constantFrom(...errorCodes, '__proto__', 'PolyloopError', '\ud800'))
  const { error } = fc.letrec((tie) => ({
    error: fc.record(
      { type: field, message: field, stack: field, code: field, rc: field, cause: fc.oneof(field, tie('error')) },
      { requiredKeys: [] },
    ),
  }))
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    error.map((value) => JSON.stringify(value)),
  )

  test('of a guest is an error of ours, whose fields are of their types', () => {
    fc.assert(
      fc.property(fc.constantFrom(...errorCodes), text, (code, text) => {
        for (let error: unknown = PolyloopError.fromGuest(code, text); error !== undefined; ) {
          // What is no JSON has the parser's error as its cause.
          if (!(error instanceof PolyloopError)) break
          expect(errorCodes).toContain(error.code)
          expect([typeof error.message, typeof error.stack]).toEqual(['string', 'string'])
          expect(error.rc === undefined || typeof error.rc === 'number').toBe(true)
          for (const one of Object.values(error.guest ?? {})) expect(typeof one).toBe('string')
          error = error.cause
        }
      }),
    )
  })

  test("of the host's native side, too", () => {
    fc.assert(
      fc.property(text, (text) => {
        const error = PolyloopError.fromHost(text)
        expect(errorCodes).toContain(error.code)
        expect(typeof error.message).toBe('string')
      }),
    )
  })

  test('may be a tree of lists, and a chain of causes without end', () => {
    const deep = 100_000
    expect(PolyloopError.fromGuest('guest-error', `${'['.repeat(deep)}${']'.repeat(deep)}`).code).toBe('guest-error')
    const chain = `${'{"cause":'.repeat(deep)}{}${'}'.repeat(deep)}`
    let causes = 0
    let error = PolyloopError.fromGuest('guest-error', chain)
    for (; error.cause !== undefined; error = error.cause as PolyloopError) causes++
    expect(causes).toBe(16)
  })
})
