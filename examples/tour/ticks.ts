// SPDX-License-Identifier: Apache-2.0
import { duration } from './print.ts'

const EVERY_MS = 10

/** What an interval of 10 ms went through while something else was awaited. */
export interface Watched<T> {
  result: T
  ms: number
  /** In words. */
  ticks: string
}

/** Awaits, and counts how often the event loop gets to fire an interval meanwhile: that it is free can be seen. */
export async function watch<T>(work: Promise<T>): Promise<Watched<T>> {
  const start = performance.now()
  let [fired, last, longest] = [0, start, 0]
  const interval = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    fired++
  }, EVERY_MS)
  try {
    const result = await work
    const end = performance.now()
    longest = Math.max(longest, end - last)
    const ticks = `a ${EVERY_MS} ms interval fired ${fired} times in ${duration(end - start)}, at most ${Math.round(longest)} ms apart`
    return { result, ms: end - start, ticks }
  } finally {
    clearInterval(interval)
  }
}
