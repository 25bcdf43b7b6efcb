// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folders.ts'
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

  test('while a guest holds the GIL a 10 ms interval fires and other runtimes answer', async () => {
    const pipe = join(temporaryFolder(), 'pipe')
    execFileSync('mkfifo', [pipe])
    expect(await ask<unknown>('health', ['gil', pipe])).toEqual({ early: 0, answered: 102 })
  })

  test('several runtimes under load share the loop: each makes progress, and timers fire', async () => {
    const windows = await ask<number[][]>('health', ['fair'])
    console.log(`calls of two Rust runtimes and a Python one: ${JSON.stringify(windows)}`)
    for (const counts of windows) expect(Math.min(...counts)).toBeGreaterThan(64)
  })

  test.each(languages)('a 1 ms timer fires with 1,024 %s calls outstanding', async (language) => {
    const { ticks, answered } = await ask<{ ticks: number; answered: number }>('health', ['timer', language])
    console.log(`${ticks} ticks, ${answered} calls answered`)
    expect(answered).toBeGreaterThan(1024)
    // Work between two ticks, however long it takes: a millisecond's, on a quick machine some thousand calls.
    expect(answered / ticks).toBeLessThan(10_000)
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
