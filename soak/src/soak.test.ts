// SPDX-License-Identifier: Apache-2.0
import { beforeAll, expect, test } from 'vitest'
import { exposeGc } from './leaks.ts'
import { type Outcome, soak } from './soak.ts'

beforeAll(exposeGc)

function expectClean({ tally, duplicates, before, after }: Outcome): void {
  console.log(String(tally))
  expect(tally.wrong).toEqual([])
  expect(duplicates).toBe(0)
  expect(after).toMatchObject({ processes: 0, memfds: 0 })
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors)
  expect(after.rss - before.rss).toBeLessThan(200 * 2 ** 20)
}

test('30 kills under load of 64 outstanding, with streams open: every promise settles, rightly, and nothing is left', async () => {
  const outcome = await soak({
    calls: 0,
    kills: 30,
    reloads: 2,
    outstanding: 64,
    mix: { longest: 200_000, givesUp: 0, streams: 50 },
    seed: 7,
  })
  expectClean(outcome)
  expect(outcome.tally.kills).toBe(30)
  expect(outcome.tally.rejected['guest-crashed']).toBeGreaterThan(0)
})

test('100,000 calls with cancellations, deadlines, streams and reloads: every answer is right', async () => {
  const outcome = await soak({
    calls: 100_000,
    kills: 0,
    reloads: 5,
    outstanding: 64,
    mix: { longest: 20_000, givesUp: 20, streams: 500 },
    seed: 11,
  })
  expectClean(outcome)
  expect(outcome.tally.settled).toBe(100_000)
  expect(outcome.tally.reloads).toBeGreaterThan(1)
  expect(outcome.tally.rejected.cancelled).toBeGreaterThan(0)
})
