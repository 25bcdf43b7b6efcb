// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { chaos } from './chaos.ts'
import { kinds } from './chaos-orders.ts'

const faults = Number(process.env.POLYLOOP_CHAOS_FAULTS ?? 90)
const seed = Number(process.env.POLYLOOP_CHAOS_SEED ?? 1)

test(`${faults} faults at the same time: every promise settles, no answer is wrong, and nothing is left`, async () => {
  const report = await chaos({ faults, seed, kinds }, console.log)
  console.log(JSON.stringify(report))
  expect(report.wrong).toEqual([])
  expect(Object.keys(report.faults)).toEqual(expect.arrayContaining([...kinds, 'host-killed', 'unread']))
  expect(report.settled).toBeGreaterThan(0)
})
