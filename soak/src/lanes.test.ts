// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { request } from './lanes.ts'

test('a request differs from every other, in front and behind', () => {
  expect(request(1, 100)).not.toEqual(request(2, 100))
  expect(request(1, 0).length).toBe(8)
  expect(request(256, 9)).not.toEqual(request(512, 9))
})
