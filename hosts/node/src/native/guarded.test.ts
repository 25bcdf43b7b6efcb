// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { PolyloopError } from '../common/errors.ts'
import { guarded } from './guarded.ts'

const binding = {
  makes: (number: number): number => {
    if (number > 1) throw new Error('Too many open files (os error 24)')
    return number
  },
  rings: (): void => {
    throw new Error('there is no member 7')
  },
}

test('what the system refuses a native function is an error of ours; the others stay as they are', () => {
  const native = guarded(binding, { makes: 'it cannot be made' })
  expect(native.makes(1)).toBe(1)
  expect(native.rings).toBe(binding.rings)
  const message = expect.stringMatching(/^it cannot be made: Too many open files.*ulimit -n/)
  expect(() => native.makes(2)).toThrow(expect.objectContaining({ code: 'overloaded', message }))
  expect(() => native.makes(2)).toThrow(PolyloopError)
})
