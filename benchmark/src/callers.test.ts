// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Callers } from './callers.ts'
import type { Echo } from './variants/echo.ts'

function echoOf(call: Echo['call']): Echo {
  return { call, close: async () => {} }
}

describe('Callers', () => {
  it('keep as many calls outstanding as they are told', async () => {
    let outstanding = 0
    let most = 0
    const echo = echoOf(async (payload) => {
      most = Math.max(most, ++outstanding)
      await turn()
      outstanding--
      return Buffer.from(payload)
    })
    const callers = new Callers(echo, 64, 7)
    const { answered, elapsed } = await callers.run(200)
    await callers.stop()
    expect(most).toBe(7)
    expect(outstanding).toBe(0)
    expect(answered).toBeGreaterThan(7)
    expect(elapsed).toBeGreaterThanOrEqual(199)
  })

  it('end in time even where timers starve', async () => {
    // Settles in microtasks: no timer ever fires while these run.
    const callers = new Callers(
      echoOf(async (payload) => Buffer.from(payload)),
      64,
      2,
    )
    const { answered } = await callers.run(5)
    expect(answered).toBeGreaterThan(0)
    await callers.stop()
  })

  it('wait for one answer where all are slow', async () => {
    const echo = echoOf(async (payload) => {
      await sleep(60)
      return Buffer.from(payload)
    })
    const callers = new Callers(echo, 64, 1)
    expect((await callers.run(1)).answered).toBe(1)
    await callers.stop()
  })

  it.each<[string, Echo['call']]>([
    ['answers with other bytes', async (payload) => Buffer.alloc(payload.length)],
    ['gives the request back', async (payload) => payload],
    ['fails', () => Promise.reject(new Error('broken'))],
  ])('fail with a variant that %s', async (_, call) => {
    await expect(new Callers(echoOf(call), 64, 3).run(50)).rejects.toThrow(/request|broken/)
  })
})
