// SPDX-License-Identifier: Apache-2.0
// Streams of a guest that is written against the bare ABI.
import { expect, test } from 'vitest'
import { load } from '../../src/runtime/load.ts'
import { until } from '../support/calls.ts'
import { cGuests } from '../support/folders.ts'
import { all, Feed, numbers } from '../support/streams.ts'

const c = cGuests()

test('a C guest streams, both ways, and hears when its reader leaves', async () => {
  await using guest = await load(c('streams'), { threads: 2 })
  expect(await all(guest.stream('count', 1000))).toEqual([...numbers(1000)])
  expect(await all(guest.stream('upper', new Feed(['a', 'b'])))).toEqual(['A', 'B'])
  const call = guest.duplex('upper')
  await call.write('one')
  expect(await call.next()).toEqual({ done: false, value: 'ONE' })
  await call.return()
  for await (const item of guest.stream('count', 1_000_000)) if (item === 10) break
  await until(() => guest.stats().inFlight === 0)
  expect(guest.stats().late).toBe(2)
})
