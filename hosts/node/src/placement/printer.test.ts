// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Printer } from './printer.ts'

const thrown: unknown[] = []
const hear = (error: unknown): void => void thrown.push(error)

afterEach(() => {
  vi.restoreAllMocks()
  process.off('uncaughtException', hear)
})

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('what a guest prints', () => {
  const writes: readonly (readonly [how: string, write: () => unknown])[] = [
    ['returns nothing', () => undefined],
    ['says that it is full, and is not', () => false],
    ['returns a promise', () => Promise.resolve()],
  ]
  test.each(writes)('goes to a stream whose write, of the program, %s: the next line need not wait', (_, write) => {
    const spy = vi.spyOn(process.stderr, 'write').mockImplementation(write as never)
    expect(new Printer('/a/guest.so', undefined).line('hello\n', 'stderr', 7)).toBeUndefined()
    expect(spy.mock.calls[0]?.[0]).toBe('[guest.so 7] hello\n')
  })

  test('goes to a function that throws: an uncaught exception of its own', async () => {
    // The runner listens, too, and would take it for a failure.
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', hear)
    const error = new Error('no')
    const printer = new Printer('guest', () => {
      throw error
    })
    expect(printer.print('hello\n', 'stdout')).toBe(true)
    await turn()
    for (const other of others) process.on('uncaughtException', other)
    expect(thrown).toEqual([error])
  })
})
