// SPDX-License-Identifier: Apache-2.0
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeAll, expect, test } from 'vitest'
import { request } from './lanes.ts'
import { Random } from './random.ts'
import { type Outcome, soak } from './soak.ts'

beforeAll(() => {
  // As --expose-gc does it: what is left is looked at when garbage is gone.
  setFlagsFromString('--expose-gc')
  globalThis.gc = runInNewContext('gc') as NodeJS.GCFunction
})

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

test('a request differs from every other, in front and behind', () => {
  expect(request(1, 100)).not.toEqual(request(2, 100))
  expect(request(1, 0).length).toBe(8)
  expect(request(256, 9)).not.toEqual(request(512, 9))
})

test('a seed gives the same numbers again, of every magnitude', () => {
  const draw = (seed: number): number[] => {
    const random = new Random(seed)
    return Array.from({ length: 1000 }, () => random.length(200_000))
  }
  expect(draw(3)).toEqual(draw(3))
  expect(draw(3)).not.toEqual(draw(4))
  expect(Math.min(...draw(3))).toBeLessThan(3)
  expect(Math.max(...draw(3))).toBeGreaterThan(100_000)
})
