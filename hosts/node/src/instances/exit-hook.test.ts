// SPDX-License-Identifier: Apache-2.0
import { expect, test, vi } from 'vitest'
import { keepFromExit, unloadBeforeExit } from './exit-hook.ts'

/** What Node.js does each time that the loop has nothing to do. */
async function beforeExit(listeners: readonly (() => void)[]): Promise<void> {
  for (const listener of listeners) listener()
  await new Promise((resolve) => setImmediate(resolve))
}

test('a guest is told to end once, when all are idle, although its unload does not come to its end', async () => {
  const others = new Set(process.listeners('beforeExit'))
  const unload = vi.fn(() => new Promise<void>(() => {}))
  const [first, second] = [
    { isIdle: true, unload },
    { isIdle: false, unload },
  ]
  for (const guest of [first, second]) unloadBeforeExit(guest)
  const ours = process.listeners('beforeExit').filter((listener) => !others.has(listener)) as (() => void)[]
  expect(ours).toHaveLength(1)
  await beforeExit(ours)
  expect(unload).not.toHaveBeenCalled()
  second.isIdle = true
  await beforeExit(ours)
  expect(unload).toHaveBeenCalledTimes(2)
  const immediate = vi.spyOn(globalThis, 'setImmediate')
  for (const listener of ours) listener()
  expect(immediate, 'the loop would go on').not.toHaveBeenCalled()
  immediate.mockRestore()
  for (const guest of [first, second]) keepFromExit(guest)
  expect(new Set(process.listeners('beforeExit'))).toEqual(others)
})
