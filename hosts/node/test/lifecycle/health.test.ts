// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { ask } from './child.ts'

const languages = ['rust', 'python']

describe('the loop stays free', () => {
  test.each(languages)(
    "libuv's thread pool is not used: a file is read while 8 slow %s calls are in flight",
    async (language) => {
      // With one thread in the pool a single call in it would keep the file waiting.
      const order = await ask<string[]>('health', ['pool', language], { env: { UV_THREADPOOL_SIZE: '1' } })
      expect(order).toEqual(['file with 8 in flight', ...Array.from({ length: 8 }, () => 'call')])
    },
  )

  test('while a guest holds the GIL for a second a 10 ms interval fires and other runtimes answer', async () => {
    const seen = await ask<{ ticks: number; submitted: number; answered: number; rustAnswers: number }>('health', [
      'gil',
    ])
    expect(seen.ticks).toBeGreaterThanOrEqual(50)
    expect(seen.rustAnswers).toBeGreaterThan(1000)
    // Calls to the same runtime were submitted within a turn, and answered when the GIL was free again.
    expect(seen.submitted).toBeLessThan(20)
    expect(seen.answered).toBeGreaterThanOrEqual(50)
  })

  test('several runtimes under load share the loop: each makes progress, and timers fire', async () => {
    const windows = await ask<{ counts: number[]; ticks: number }[]>('health', ['fair'])
    const shares = windows.map(({ counts }) => Math.min(...counts) / counts.reduce((sum, count) => sum + count, 0))
    console.log(`calls of two Rust runtimes and a Python one: ${JSON.stringify(windows)}`)
    for (const { counts, ticks } of windows) {
      expect(Math.min(...counts)).toBeGreaterThan(64)
      expect(ticks).toBeGreaterThan(25)
    }
    // Three busy guest threads on fewer processors: which one runs is the system's, so the best window counts.
    expect(Math.max(...shares)).toBeGreaterThan(0.1)
  })

  test.each(languages)('a 1 ms timer fires with 1,024 %s calls outstanding', async (language) => {
    const seen = await ask<{ ticks: number; answered: number; perSecond: number }>('health', ['timer', language])
    console.log(`${seen.perSecond} ticks a second, ${seen.answered} calls answered`)
    expect(seen.answered).toBeGreaterThan(1024)
    expect(seen.ticks).toBeGreaterThan(100)
  })
})

describe('guest threads', () => {
  test('with 4 threads 4 Rust calls run side by side', async () => {
    expect(await ask<number>('health', ['side-by-side', '4'])).toBe(4)
  })

  test('with 1 thread Rust calls run on it alone', async () => {
    expect(await ask<number>('health', ['side-by-side', '1'])).toBe(1)
  })

  test('with 4 threads 4 Python calls run side by side', async () => {
    expect(await ask<number[]>('health', ['meet'])).toEqual([4, 4, 4, 4])
  })

  test('with 1 thread Python calls run one after the other', async () => {
    expect(await ask<number>('health', ['one-by-one'])).toBe(1)
  })

  const ways = languages.flatMap((language) => ['spin', 'no-spin'].map((spin) => ({ language, spin })))
  test.each(ways)(
    'a call behind a slow one is answered by another thread before it ($language, $spin)',
    async (way) => {
      expect(await ask<string[]>('health', ['help', way.language, way.spin])).toEqual(['together', 'later', 'slow'])
    },
  )
})
