// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import type { GuestStart } from '../guests/start.ts'
import { unreachable, unrunnable } from './ending.ts'

const start: GuestStart = {
  library: '',
  loader: '',
  command: ['x'],
  advice: 'name another by the option python or venv',
}

test.each([
  ['spawn x EACCES', 'init-failed', 'the option python or venv'],
  ['spawn x ENOEXEC', 'init-failed', 'the option python or venv'],
  ['Exec format error (os error 8)', 'init-failed', 'the option python or venv'],
  ['spawn x EAGAIN', 'overloaded', 'ulimit -u'],
  ['Resource temporarily unavailable (os error 11)', 'overloaded', 'ulimit -u'],
  ['spawn x EMFILE', 'overloaded', 'ulimit -n'],
  ['spawn x ENOMEM', 'overloaded', 'ulimit -v'],
  ['spawn E2BIG', 'too-large', 'process.env'],
])('a program that cannot be run: %s is %s', (message, code, advice) => {
  const why = unrunnable(start, false, message)
  expect(why.code).toBe(code)
  expect(why.message).toContain(`'x' cannot be run: ${message}`)
  expect(why.message).toContain(advice)
})

test('a program that is missing is not found', () => {
  expect(unrunnable(start, true, 'spawn x ENOENT')).toEqual({
    code: 'not-found',
    message: `there is no program 'x': ${start.advice}`,
  })
})

test('a shared guest that cannot be reached says why', () => {
  const why = unreachable('Too many open files (os error 24)')
  expect(why).toMatchObject({ code: 'overloaded', message: expect.stringContaining('raise ulimit -n') })
  const other = 'another user has the name'
  expect(unreachable(other)).toEqual({
    code: 'init-failed',
    message: `the shared guest cannot be reached: ${other}`,
  })
})
