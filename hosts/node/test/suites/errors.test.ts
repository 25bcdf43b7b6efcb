// SPDX-License-Identifier: Apache-2.0
// Each code of the closed set, produced by what a caller or a guest does.

import { describe, expect, test } from 'vitest'
import type { CallOptions } from '../../src/call/call-options.ts'
import { errorCodes, type PolyloopErrorCode } from '../../src/common/errors.ts'
import { load } from '../../src/runtime/load.ts'
import { rejection, unpark, until } from '../support/calls.ts'
import { cGuests } from '../support/folders.ts'
import { anyCall, loadRust } from '../support/guests.ts'
import { rust } from '../support/paths.ts'

const c = cGuests()

/** What is done to get each code, and words of the message. */
const producers: Readonly<Record<PolyloopErrorCode, () => Promise<unknown>>> = {
  'not-found': async () => {
    const guest = await loadRust()
    await rejection(guest.call('nope' as 'add'), 'not-found', "no function 'nope'", 'it has', 'add')
    await guest.unload()
  },
  'init-failed': () => rejection(load(c('not_a_guest')), 'init-failed', 'is not a guest', 'Build it with a guest kit'),
  'invalid-argument': () => rejection(load(42 as never), 'invalid-argument', "such as 'python:./text.py'"),
  'too-large': async () => {
    const guest = await loadRust({ maxPayload: 1000 })
    await rejection(guest.echo(Buffer.alloc(1001)), 'too-large', '1001 bytes', 'maxPayload is 1000', 'raise maxPayload')
    await rejection(guest.fill(1001), 'too-large', '1001 bytes', 'maxPayload is 1000', 'raise it')
    await guest.unload()
  },
  overloaded: async () => {
    const guest = await loadRust({ placement: 'thread', maxCalls: 1, whenFull: 'fail' })
    const other = await loadRust({ placement: 'thread' })
    const parked = guest.park()
    await rejection(guest.nothing(), 'overloaded', '1 calls', 'maxCalls is 1', 'raise the bounds')
    await unpark(other, 1)
    await parked
    await Promise.all([guest.unload(), other.unload()])
  },
  deadline: async () => {
    const guest = await loadRust()
    const parked = guest.call('park', [], { deadline: Date.now() + 20 })
    await rejection(parked, 'deadline', 'has passed')
    await guest.unload()
  },
  cancelled: async () => {
    const guest = await loadRust()
    const cancel = new AbortController()
    const parked = guest.call('park', [], { signal: cancel.signal })
    const reason = new Error('the user went away')
    cancel.abort(reason)
    expect((await rejection(parked, 'cancelled', 'was cancelled')).cause).toBe(reason)
    await guest.unload()
  },
  unloaded: async () => {
    const guest = await loadRust()
    await guest.unload()
    await rejection(guest.add(1, 2), 'unloaded', 'load it again')
    await rejection(guest.send(Buffer.alloc(1)), 'unloaded', rust)
  },
  'guest-error': async () => {
    const guest = await loadRust()
    const error = await rejection(guest.fail('it is closed'), 'guest-error', 'it is closed')
    expect(error.rc).toBe(1)
    expect(error.guest).toEqual({ type: 'Error', message: 'it is closed' })
    await guest.unload()
  },
  'guest-crashed': async () => {
    const guest = await load(c('dies'))
    await rejection(guest.send(Buffer.from('die')), 'guest-crashed', 'has died', 'I died')
    await guest.unload()
  },
  protocol: async () => {
    const guest = await load(c('garbage'))
    await rejection(anyCall(guest, 'answer', 'invalid-json'), 'protocol', 'is not json', 'return plain data, or bytes')
    await guest.unload()
  },
}

describe('every code is produced', () => {
  for (const code of errorCodes) test(code, async () => void (await producers[code]()))
})

test('a guest that dies rejects every call in flight at once, and those that wait', async () => {
  const guest = await load(c('dies'), { maxCalls: 3, config: 'in flight' })
  const calls = ['hang', 'hang', 'die', 'waiting', 'waiting'].map((text) => guest.send(Buffer.from(text)))
  const errors = await Promise.all(calls.map((call) => rejection(call, 'guest-crashed', 'has died: Death: I died')))
  expect(errors[0]?.guest).toEqual({ type: 'Death', message: 'I died', code: 'out-of-memory' })
  expect(guest.stats()).toMatchObject({ inFlight: 0, queued: 0, bytesInFlight: 0 })
  await rejection(guest.send(Buffer.from('later')), 'guest-crashed', 'I died')
  await guest.unload()
  await rejection(guest.send(Buffer.from('after the unload')), 'guest-crashed')
})

test('a guest that has died can be loaded again, and the new runtime answers', async () => {
  const guest = await load(c('dies'), { config: 'again' })
  await rejection(guest.send(Buffer.from('die')), 'guest-crashed')
  const fresh = await load(c('dies'), { config: 'again' })
  expect(fresh).not.toBe(guest)
  expect(await fresh.send(Buffer.from('hello'))).toEqual(Buffer.from('hello'))
  await fresh.unload()
})

test('a context that is no object of texts is refused', async () => {
  await using guest = await loadRust()
  for (const context of [{ key: 1 }, 'text', null]) {
    const call = guest.call('nothing', [], { context } as never)
    await rejection(call, 'invalid-argument', 'object of texts')
  }
})

describe('a signal or a deadline', () => {
  test('that is over already stops the call before it starts', async () => {
    await using guest = await loadRust()
    const signal = AbortSignal.abort(new Error('too late'))
    const error = await rejection(guest.call('nothing', [], { signal }), 'cancelled', 'before the call')
    expect(error.cause).toEqual(new Error('too late'))
    await rejection(guest.call('nothing', [], { deadline: Date.now() - 1 }), 'deadline', /before the call$/)
    const [late, advice] = [guest.call('nothing', [], { deadline: 100 }), 'Date.now() + 100']
    await rejection(late, 'deadline', 'before the call', 'a point in time', advice)
    await rejection(guest.call('nothing', [], { deadline: new Date(0) }), 'deadline')
    await rejection(guest.send(Buffer.alloc(1), { deadline: new Date(0) }), 'deadline')
    expect(guest.stats().calls).toBe(0)
  })

  test('may be a timeout, of a call or of all, and the earlier of both counts', async () => {
    await using guest = await loadRust({ callTimeout: 30 })
    const hour = 3_600_000
    const slow = (options?: CallOptions): Promise<unknown> => guest.call('park' as 'nothing', [], options)
    await rejection(slow({ timeout: 20 }), 'deadline', 'has passed')
    await rejection(slow(), 'deadline', 'has passed')
    await rejection(slow({ context: {} }), 'deadline', 'has passed')
    await rejection(slow({ timeout: 20, deadline: Date.now() + hour }), 'deadline')
    await rejection(slow({ timeout: hour, deadline: Date.now() + 20 }), 'deadline')
    await rejection(guest.with({ timeout: 20 }).park(), 'deadline')
    await rejection(
      guest
        .with({ timeout: 20 })
        .stream('park' as 'nothing')
        .next(),
      'deadline',
    )
    expect(await guest.with({ timeout: hour }).sleep_ms(100)).toBe(100)
    for (const timeout of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '5', null]) {
      await rejection(slow({ timeout: timeout as number }), 'invalid-argument', 'timeout is not a number')
    }
  })

  test('that is none says what one is', async () => {
    await using guest = await loadRust()
    const call = (options: object): Promise<unknown> => guest.call('nothing', [], options)
    for (const deadline of [Number.NaN, Number.POSITIVE_INFINITY, new Date(Number.NaN), '2030-01-01', null]) {
      await rejection(call({ deadline }), 'invalid-argument', 'deadline is not a time', 'Date.now() + 50')
    }
    for (const signal of [{}, null, true]) {
      await rejection(call({ signal }), 'invalid-argument', 'not an AbortSignal', 'new AbortController().signal')
    }
    for (const options of [null, 42, 'soon']) {
      await rejection(
        call(options as never),
        'invalid-argument',
        'not an object',
        '{ signal, deadline, timeout, context, ahead, onContext }',
      )
    }
    for (const ahead of [0, 257, 1.5, '3', null]) {
      await rejection(call({ ahead }), 'invalid-argument', 'from 1 to 256')
    }
    await rejection(call({ ahead: 3 }), 'invalid-argument', 'the call has none', 'use stream()')
  })

  test('that is far away is no timer that fires at once', async () => {
    await using guest = await loadRust()
    expect(await guest.call('sleep_ms', [5], { deadline: 8.64e15 })).toBe(5)
    expect(await guest.call('sleep_ms', [5], { deadline: Date.now() + 2 ** 31 + 1000 })).toBe(5)
  })

  test('drops a response that comes too late, and counts it', async () => {
    await using guest = await loadRust()
    const cancel = new AbortController()
    const calls = [1, 2, 3].map(() => guest.call('park', [], { signal: cancel.signal }))
    const stays = guest.park()
    cancel.abort()
    await Promise.all(calls.map((call) => rejection(call, 'cancelled')))
    await until(() => guest.stats().late === 3)
    await unpark(guest, 1)
    await stays
    expect(guest.stats()).toMatchObject({ inFlight: 0, late: 3 })
  })

  test('shared by many calls cancels them all, without a warning of too many listeners', async () => {
    await using guest = await loadRust()
    const warnings: Error[] = []
    const warn = (warning: Error): void => void warnings.push(warning)
    process.on('warning', warn)
    const cancel = new AbortController()
    const calls = Array.from({ length: 100 }, () => guest.call('park', [], { signal: cancel.signal }))
    await guest.call('nothing', [], { signal: cancel.signal })
    cancel.abort('enough')
    const errors = await Promise.all(calls.map((call) => rejection(call, 'cancelled')))
    expect(errors.every(({ cause }) => cause === 'enough')).toBe(true)
    process.off('warning', warn)
    expect(warnings).toEqual([])
  })

  test('of a call that was refused does not reject anything later', async () => {
    await using guest = await loadRust({ maxPayload: 10 })
    const unhandled: unknown[] = []
    const hear = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', hear)
    const cancel = new AbortController()
    const options = { signal: cancel.signal, deadline: Date.now() + 10 }
    await rejection(guest.call('echo', [Buffer.alloc(11)], options), 'too-large')
    cancel.abort()
    await new Promise((resolve) => setTimeout(resolve, 30))
    process.off('unhandledRejection', hear)
    expect(unhandled).toEqual([])
  })
})
