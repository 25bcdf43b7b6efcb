// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from 'vitest'
import { metrics } from '../../src/runtime/metrics.ts'
import { rejection } from '../support/calls.ts'
import { loadRust, type RustGuest } from '../support/guests.ts'

let guest: RustGuest
beforeAll(async () => {
  guest = await loadRust({ sample: 1 })
})
afterAll(() => guest.unload())

test('latency is split into waiting for a thread and running', async () => {
  for (let call = 0; call < 20; call++) await guest.add(1, 2)
  await guest.sleep_ms(30)
  const { waiting, running } = guest.stats().latency
  expect([waiting.count, running.count]).toEqual([21, 21])
  expect(running.max).toBeGreaterThanOrEqual(30)
  expect(running.p50).toBeLessThan(30)
  expect(waiting.max).toBeGreaterThan(0)
})

test('calls that wait for a thread are seen to', async () => {
  const other = await loadRust({ sample: 1, threads: 1 })
  await Promise.all(Array.from({ length: 4 }, () => other.sleep_ms(20)))
  expect(other.stats().latency.waiting.max).toBeGreaterThanOrEqual(60)
  await other.unload()
})

test('one call in so many is timed, and none where it is 0', async () => {
  const [some, none] = [await loadRust({ sample: 10 }), await loadRust({ sample: 0 })]
  for (let call = 0; call < 100; call++) await Promise.all([some.add(1, 2), none.add(1, 2)])
  expect(some.stats().latency.running.count).toBe(10)
  expect(none.stats().latency.running.count).toBe(0)
  await Promise.all([some.unload(), none.unload()])
})

test('errors are counted by their code, whatever side they come from', async () => {
  const other = await loadRust()
  await rejection(other.fail('why'), 'guest-error')
  await rejection(other.call('fail', ['why']), 'guest-error')
  await rejection(other.add(Symbol('x'), 2), 'invalid-argument')
  await rejection(other.call('add', [1, 2], { signal: AbortSignal.abort() }), 'cancelled')
  await rejection(other.call('park', [], { deadline: Date.now() + 5 }), 'deadline')
  expect(other.stats()).toMatchObject({
    errors: 5,
    errorsByCode: { 'guest-error': 2, 'invalid-argument': 1, cancelled: 1, deadline: 1 },
  })
  await other.unload()
})

test('metrics are Prometheus text: every line is a comment or a sample, and histograms add up', async () => {
  await rejection(guest.fail('why'), 'guest-error')
  const text = metrics()
  const lines = text.split('\n').slice(0, -1)
  for (const line of lines) {
    expect(line).toMatch(
      /^(# (HELP|TYPE) polyloop_\w+ .+|polyloop_\w+\{runtime="[^"]+",id="\d+"(,\w+="[^"]+")?\} [\d.e+-]+)$/,
    )
  }
  expect(text).toMatch(/polyloop_errors_total\{runtime="rust:[^"]+",id="\d+",code="guest-error"\} 1\n/)
  const buckets = lines.filter((line) => line.startsWith('polyloop_call_running_seconds_bucket'))
  const counts = buckets.map((line) => Number(line.split(' ')[1]))
  expect(counts).toEqual([...counts].sort((a, b) => a - b))
  expect(counts.at(-1)).toBe(guest.stats().latency.running.count)
})
