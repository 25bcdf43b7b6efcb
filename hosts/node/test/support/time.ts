// SPDX-License-Identifier: Apache-2.0
import { vi } from 'vitest'
import { until } from './calls.ts'

/** Starts something, and lets so many milliseconds pass at once when it has set a timer. What it set is gone afterwards. */
export async function after<T>(milliseconds: number, start: () => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const started = start()
    // Whoever awaits it hears of that.
    started.catch(() => {})
    await until(() => vi.getTimerCount() > 0)
    vi.advanceTimersByTime(milliseconds)
    return await started
  } finally {
    vi.useRealTimers()
  }
}
