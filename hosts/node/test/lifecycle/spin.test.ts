// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { ask } from './child.ts'
import { pythonGuest, rustGuest } from './paths.ts'
import { trace } from './trace.ts'

const guests = [
  { language: 'Rust', guest: rustGuest },
  { language: 'Python', guest: pythonGuest },
]

interface Quick {
  readonly wrong: number
  readonly wakeups: number
}

/** Yields of the loop's thread: each spin that lasts makes some. */
async function yields(guest: string, spin: string): Promise<number> {
  const { main } = await trace('spin', ['slow', guest, spin])
  expect(main).toHaveLength(1)
  return main[0]?.sched_yield ?? 0
}

describe.each(guests)('with a $language guest', ({ guest }) => {
  test('spin: false answers rightly, and the loop is woken instead', async () => {
    const [on, off] = [
      await ask<Quick>('spin', ['quick', guest, 'spin']),
      await ask<Quick>('spin', ['quick', guest, 'no']),
    ]
    console.log(`wake-ups of 7,000 calls: ${on.wakeups} with spinning, ${off.wakeups} without`)
    expect([on.wrong, off.wrong]).toEqual([0, 0])
    // Many answers are there before the loop has gone to sleep: the guest spins all the same.
    expect(off.wakeups).toBeGreaterThan(0)
  })

  test('spin: false never spins', async () => {
    expect(await yields(guest, 'no')).toBe(0)
  })

  test('the window adapts: a slow function makes the loop spin seldom', async () => {
    const seen = await yields(guest, 'spin')
    console.log(`yields in 200 calls of a millisecond: ${seen}`)
    // A window of 50 µs has five yields at least; 200 of them would have a thousand. Eight misses close it.
    expect(seen).toBeLessThan(150)
  })
})
