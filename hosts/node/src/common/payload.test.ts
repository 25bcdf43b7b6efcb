// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { mostPayload, tooLarge } from './payload.ts'

test('a request that is too large is told what to raise, if that can be raised', () => {
  expect(tooLarge(20, 10)).toMatchObject({
    code: 'too-large',
    message: expect.stringMatching(/20 bytes.*is 10: raise/),
  })
  expect(tooLarge(mostPayload + 1, mostPayload).message).toMatch(/is 1073741824: it cannot be raised, send less/)
})
