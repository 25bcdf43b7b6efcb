// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { ask, run, toExit } from './child.ts'
import { pythonGuest, rustGuest, streamsGuest } from './paths.ts'

const guests = [
  { language: 'Rust', guest: rustGuest, workers: 50 },
  { language: 'Python', guest: pythonGuest, workers: 20 },
]
/** Bytes of a block with the default of 1,024 calls, at least. */
const block = 1024 * (4096 + 1024)

test('each worker has runtimes of its own, with a state of their own', async () => {
  const { said, main, codes } = await ask<Record<string, unknown>>('workers', ['own'])
  expect(said).toEqual([1, 2, 3, 4].map((config) => ({ config, count: 10, calls: 11 })))
  expect(main).toEqual({ config: 0, count: 101, calls: 102 })
  expect(codes).toEqual([0, 0, 0, 0])
})

describe.each(guests)('a worker with a $language guest', ({ guest, workers }) => {
  test('ends naturally, by process.exit() and by an uncaught exception, with calls in flight', async () => {
    const ends = await ask<unknown>('workers', ['ends', guest])
    expect(ends).toEqual({ natural: 0, exits: 5, throws: 'on purpose', waits: 7 })
  })

  test.each([
    ['with calls in flight', 'in-flight'],
    ['with functions that never end', 'never'],
    ['with a function that holds a processor, or the GIL, without end', 'busy'],
  ])('is terminated %s, and nobody waits for them', async (_, scenario) => {
    const order = await ask<string[]>('workers', ['terminate', guest, scenario])
    expect(order).toEqual(['terminated', 'answered'])
  })

  test(`${workers} of them in sequence, ended with calls in flight, leave no thread and no block behind`, async () => {
    // The program waits until there are no more threads than before: one left would be a hang.
    const args = ['sequence', guest, String(workers)]
    const left = await ask<{ codes: number[]; mainAnswers: boolean; mapped: number; rss: number }>('workers', args, {
      node: ['--expose-gc'],
    })
    console.log(JSON.stringify(left))
    expect(left).toMatchObject({ codes: [1], mainAnswers: true })
    expect(left.mapped).toBeLessThan((workers / 2) * block)
    expect(left.rss).toBeLessThan((workers / 2) * block)
  })

  test('is terminated at any time of its load', async () => {
    expect(await ask<number>('workers', ['terminate-in-load', guest])).toBe(20)
  })

  test('does not keep the process when it is unreferenced, with functions that never end', async () => {
    expect(await ask<string>('workers', ['end-of-the-process', guest])).toBe('left')
  })
})

test('process.exit() of the main thread ends workers with functions that never end', async () => {
  const ended = await run('workers', ['exit-of-the-process'], { node: toExit })
  expect(ended).toEqual({ code: 3, signal: null, stdout: '', stderr: '' })
})

test('four workers at once have calls, streams both ways and cancellation, in both languages and both placements', async () => {
  const seen = await ask<unknown[]>('everywhere', [rustGuest, streamsGuest])
  const one = { items: 500, last: 499, total: 499_500, upper: ['A', 'B', 'C'], code: 'cancelled', large: 2_000_000 }
  expect(seen).toEqual([one, one, one, one])
})

test('workers of node:cluster have guests of their own, in both placements, and end by themselves', async () => {
  const seen = await ask<unknown[]>('cluster', [rustGuest, streamsGuest])
  const one = { said: ['0 1 2', '0 1 2', '0 1 2', '0 1 2'], code: 0 }
  expect(seen).toEqual([one, one])
})
