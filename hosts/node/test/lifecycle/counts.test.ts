// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { describe, expect, test } from 'vitest'
import { inlineResponseBytes, slabSizes } from '../../src/common/layout.ts'
import { canPin } from '../../src/native/addon.ts'
import { open } from '../../src/native/hub.ts'
import { ask } from './child.ts'
import { pythonGuest, rustGuest } from './paths.ts'
import { total, trace } from './trace.ts'

/** Responses of this size that share a slab. */
function perSlab(bytes: number): number {
  const [, size] = slabSizes.find(([most]) => bytes <= most) as readonly [number, number]
  return Math.floor(size / bytes)
}

interface Window {
  readonly calls: number
  readonly all: number
  readonly told: number
  readonly pins: number
  readonly slabs: number
  readonly bells: number
  readonly drains: number
  readonly turns: number
  readonly wakeups: number
  readonly sleeps: number
}

const guests = { Rust: rustGuest, Python: pythonGuest }
const several = availableParallelism() > 1
/** Others on the machine only add to what is counted: the best of so many windows counts. */
const windows = 8
/**
 * Runs a program before all others that want its processors, if this user may do that. A side that waits for another
 * program sleeps, and is woken, however well it was written: the shares below are those of a program that has its
 * processors.
 */
const first: readonly string[] = spawnSync('chrt', ['--fifo', '1', 'true']).status === 0 ? ['chrt', '--fifo', '1'] : []
/** If it may not, others may take part in every window of many attempts: then the watchdog ends what never comes. */
const attempts = first.length > 0 ? 4 : Number.POSITIVE_INFINITY

/** The least share that `measure` finds in any window; more attempts only while it is not within the bound. */
async function least(isWithin: (share: number) => boolean, measure: () => Promise<number[]>): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < attempts && !isWithin(best); attempt++) {
    const shares = await measure()
    expect(shares).toHaveLength(windows)
    console.log(`a request: ${shares.map((share) => share.toFixed(3)).join(' ')}`)
    best = Math.min(best, ...shares)
  }
  return best
}

const share = (of: (window: Window) => number) => (window: Window) => of(window) / window.calls
const below = (bound: number) => (share: number) => share < bound

/** A processor that this process may run on. */
function processor(): string {
  const allowed = /^Cpus_allowed_list:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return allowed?.[1] ?? '0'
}

const cases = Object.entries(guests).flatMap(([language, locator]) =>
  [512, 4096].flatMap((bytes) => [1, 64].map((outstanding) => ({ language, locator, bytes, outstanding }))),
)
const placements = ['thread', 'process']
const placed = placements.flatMap((placement) => cases.map((one) => ({ ...one, placement })))

/** What a program counts of itself. */
function count(placement: string, ...args: readonly (string | number)[]): Promise<Window[]> {
  const how = { under: first, node: ['--expose-gc'], env: { POLYLOOP_TEST_PLACEMENT: placement } }
  return ask<Window[]>('counts', args.map(String), how)
}

/** The least number of system calls a request in any window. */
function systemCalls(args: readonly (string | number)[], bound: number, under: readonly string[]): Promise<number> {
  return least(below(bound), async () => {
    const { told, windows: counted } = await trace<Window[]>('counts', [...args, windows].map(String), under)
    return counted.map((counts, index) => total(counts) / (told[index]?.calls ?? 0))
  })
}

describe('in steady state no system call is made per request', () => {
  // With one processor each side hands it to the other by a sched_yield: that is what the next tests count.
  const sequential = cases.filter(({ outstanding }) => outstanding === 1)
  const many = cases.filter(({ outstanding }) => outstanding > 1)
  test.runIf(several).each(many)('$language, $bytes bytes, $outstanding outstanding, two processors', async (one) => {
    // A bell that is rung costs four and more, on both sides together.
    expect(await systemCalls([one.locator, one.bytes, one.outstanding, 5000], 0.1, first)).toBeLessThan(0.1)
  })

  // Not under strace: it slows a call that goes alone beyond what either side spins for, so that both sleep. What is
  // counted is all that a call may cost but yields: sleeps of any thread, by the kernel, bells and wake-ups that end
  // them, and turns of the loop.
  test.runIf(several).each(sequential)('$language, $bytes bytes, one after the other, two processors', async (one) => {
    const costs = share(({ sleeps, bells, wakeups, turns }) => sleeps + bells + wakeups + turns)
    const measure = async (): Promise<number[]> =>
      (await count('thread', one.locator, one.bytes, 1, 5000, windows)).map(costs)
    expect(await least(below(0.1), measure)).toBeLessThan(0.1)
  })

  const large = cases.filter(({ bytes }) => bytes === 4096)
  test.each(large)(
    '$language, $bytes bytes, $outstanding outstanding, one processor: two yields a turn',
    async (one) => {
      // A round of `outstanding` calls costs two yields, and a part of a turn of the loop.
      const bound = one.outstanding === 1 ? 3 : 0.1
      const under = ['taskset', '--cpu-list', processor(), ...first]
      expect(await systemCalls([one.locator, one.bytes, one.outstanding, 1000], bound, under)).toBeLessThan(bound)
    },
  )
})

describe('in steady state no Node-API call is made per request', () => {
  const name = '$language ($placement), $bytes bytes, $outstanding outstanding: only one per slab of responses'
  test.each(placed)(name, async (one) => {
    // Into JavaScript the add-on comes once for a batch of responses.
    const batches = one.outstanding === 1 ? 1 : 0.25
    let fewest = Number.POSITIVE_INFINITY
    const measure = async (): Promise<number[]> => {
      const found = await count(one.placement, one.locator, one.bytes, one.outstanding, 5000, windows)
      // The add-on counts what the test counts.
      for (const { all, told } of found) expect(told).toBe(all)
      // Nothing beside the slabs but doorbells for a guest that fell asleep.
      for (const { all, slabs, bells } of found) expect(all - slabs).toBe(bells)
      // Up to 1 KiB they come in their slots.
      const inSlabs = one.bytes > inlineResponseBytes ? perSlab(one.bytes) : Number.POSITIVE_INFINITY
      for (const { slabs, calls } of found) expect(slabs).toBeLessThanOrEqual(Math.ceil(calls / inSlabs))
      expect(found.every(({ pins }) => pins === 0)).toBe(true)
      fewest = Math.min(fewest, ...found.map(share(({ drains }) => drains)))
      return found.map(share(({ bells }) => bells))
    }
    expect(await least((bells) => bells < 0.1 && fewest <= batches, measure)).toBeLessThan(0.1)
    expect(fewest).toBeLessThanOrEqual(batches)
  })

  const large = Object.entries(guests).flatMap(([language, locator]) =>
    placements.map((placement) => ({ language, locator, placement })),
  )
  const pinned = 'a large request costs one where it is read in place, and none where it is copied'
  test.each(large)(`$language ($placement): ${pinned}`, async ({ locator, placement }) => {
    open()
    const measure = async (): Promise<number[]> => {
      const found = await count(placement, locator, 10_240, 64, 2000, windows)
      for (const { all, pins, slabs, bells } of found) expect(all - slabs - bells).toBe(pins)
      for (const { pins, calls } of found) expect(pins).toBe(placement === 'thread' && canPin() ? calls : 0)
      return found.map(share(({ bells }) => bells))
    }
    expect(await least(below(0.1), measure)).toBeLessThan(0.1)
  })

  test.each(large)('$language ($placement): one in memory of alloc costs none', async ({ locator, placement }) => {
    const found = await count(placement, locator, 10_240, 64, 2000, windows, 'alloc')
    expect(found).toHaveLength(windows)
    for (const { all, slabs, bells } of found) expect(all - slabs).toBe(bells)
    const most = (calls: number): number => Math.ceil(calls / perSlab(10_240))
    for (const { pins, slabs, calls } of found) expect([pins, slabs <= most(calls)]).toEqual([0, true])
  })
})
