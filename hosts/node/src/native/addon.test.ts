// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { canPin, native } from './addon.ts'
import { open } from './hub.ts'

test('the memory of a pinned request is held, or copied on Node 22, whose transfer() moves even what is held', () => {
  open()
  expect(canPin()).toBe(!process.version.startsWith('v22.'))
})

test('an environment has one hub, for all who listen', () => {
  const words = open()
  expect(native.openHub()).toBe(words.buffer)
  const [first, second] = [native.listen(console.log, console.log), native.listen(console.log, console.log)]
  expect(second).not.toBe(first)
  native.stopListening(first)
  expect(native.listen(console.log, console.log)).toBe(first)
  for (const number of [first, second, second, 4_000_000]) native.stopListening(number)
})

test('wrong arguments throw and crash nothing', () => {
  open()
  expect(() => native.doorbell('x' as unknown as number)).toThrow('a number')
  expect(() => native.doorbell(4_000_000)).toThrow('there is no connection')
  expect(() => native.createConnection(5, '{}')).toThrow('missing field')
  expect(() => native.start(4_000_000, '{}')).toThrow('missing field')
})
