// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { describe, expect, test } from 'vitest'
import { canPin } from '../../src/native/addon.ts'
import { open } from '../../src/native/hub.ts'
import { ask } from './child.ts'
import { pythonGuest, rustGuest } from './paths.ts'
import { total, trace } from './trace.ts'

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

function least(found: readonly Window[], of: (window: Window) => number): number {
  expect(found).toHaveLength(windows)
  return Math.min(...found.map((window) => of(window) / window.calls))
}

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
const inPlace = (placement: string): { readonly node: readonly string[]; readonly env: Record<string, string> } => {
  return { node: ['--expose-gc'], env: { POLYLOOP_TEST_PLACEMENT: placement } }
}

/** The least number of system calls a request in any window; more attempts only where it is not below `bound`. */
async function systemCalls(
  args: readonly (string | number)[],
  bound: number,
  under: readonly string[],
): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 4 && best >= bound; attempt++) {
    const { told, windows: counted } = await trace<Window[]>('counts', [...args, windows].map(String), under)
    expect(counted).toHaveLength(windows)
    const found = counted.map((counts, index) => total(counts) / (told[index]?.calls ?? 0))
    console.log(`system calls a request: ${found.map((figure) => figure.toFixed(3)).join(' ')}`)
    best = Math.min(best, ...found)
  }
  return best
}

describe('in steady state no system call is made per request', () => {
  // With one processor each side hands it to the other by a sched_yield: that is what the next tests count.
  const sequential = cases.filter(({ outstanding }) => outstanding === 1)
  const many = cases.filter(({ outstanding }) => outstanding > 1)
  test.runIf(several).each(many)('$language, $bytes bytes, $outstanding outstanding, two processors', async (one) => {
    // A bell that is rung costs four and more, on both sides together.
    expect(await systemCalls([one.locator, one.bytes, one.outstanding, 5000], 0.1, [])).toBeLessThan(0.1)
  })

  // Not under strace: it slows a call that goes alone beyond what either side spins for, so that both sleep. What is
  // counted is all that a call may cost but yields: sleeps of any thread, by the kernel, bells and wake-ups that end
  // them, and turns of the loop.
  test.runIf(several).each(sequential)('$language, $bytes bytes, one after the other, two processors', async (one) => {
    const args = [one.locator, one.bytes, 1, 5000, windows].map(String)
    const found = await ask<Window[]>('counts', args, inPlace('thread'))
    const costs = ({ sleeps, bells, wakeups, turns }: Window): number => sleeps + bells + wakeups + turns
    console.log(found.map((window) => (costs(window) / window.calls).toFixed(3)).join(' '))
    expect(least(found, costs)).toBeLessThan(0.1)
  })

  const large = cases.filter(({ bytes }) => bytes === 4096)
  test.each(large)(
    '$language, $bytes bytes, $outstanding outstanding, one processor: two yields a turn',
    async (one) => {
      // A round of `outstanding` calls costs two yields, and a part of a turn of the loop.
      const bound = one.outstanding === 1 ? 3 : 0.1
      const under = ['taskset', '--cpu-list', processor()]
      expect(await systemCalls([one.locator, one.bytes, one.outstanding, 1000], bound, under)).toBeLessThan(bound)
    },
  )
})

describe('in steady state no Node-API call is made per request', () => {
  const name = '$language ($placement), $bytes bytes, $outstanding outstanding: only one per slab of responses'
  test.each(placed)(name, async (one) => {
    const args = [one.locator, one.bytes, one.outstanding, 5000, windows].map(String)
    const found = await ask<Window[]>('counts', args, inPlace(one.placement))
    // The add-on counts what the test counts.
    for (const { all, told } of found) expect(told).toBe(all)
    // Nothing beside the slabs but doorbells for a guest that fell asleep: another program had its processor.
    for (const { all, slabs, bells } of found) expect(all - slabs).toBe(bells)
    expect(least(found, ({ bells }) => bells)).toBeLessThan(0.1)
    // A slab of 1 MiB holds 256 responses of 4 KiB; up to 1 KiB they come in their slots.
    for (const { slabs, calls } of found) expect(slabs).toBeLessThanOrEqual(one.bytes === 4096 ? calls / 256 + 1 : 0)
    expect(found.every(({ pins }) => pins === 0)).toBe(true)
    // Into JavaScript the add-on comes once for a batch of responses.
    expect(least(found, ({ drains }) => drains)).toBeLessThanOrEqual(one.outstanding === 1 ? 1 : 0.25)
  })

  const large = Object.entries(guests).flatMap(([language, locator]) =>
    placements.map((placement) => ({ language, locator, placement })),
  )
  const pinned = 'a large request costs one where it is read in place, and none where it is copied'
  test.each(large)(`$language ($placement): ${pinned}`, async ({ locator, placement }) => {
    const args = [locator, 10_240, 64, 2000, windows].map(String)
    const found = await ask<Window[]>('counts', args, inPlace(placement))
    for (const { all, pins, slabs, bells } of found) expect(all - slabs - bells).toBe(pins)
    open()
    for (const { pins, calls } of found) expect(pins).toBe(placement === 'thread' && canPin() ? calls : 0)
    expect(least(found, ({ bells }) => bells)).toBeLessThan(0.1)
  })

  test.each(large)('$language ($placement): one in memory of alloc costs none', async ({ locator, placement }) => {
    const args = [locator, 10_240, 64, 2000, windows, 'alloc'].map(String)
    const found = await ask<Window[]>('counts', args, inPlace(placement))
    for (const { all, slabs, bells } of found) expect(all - slabs).toBe(bells)
    // A slab of 1 MiB holds 102 responses.
    for (const { pins, slabs, calls } of found) expect([pins, slabs <= calls / 100]).toEqual([0, true])
  })
})
