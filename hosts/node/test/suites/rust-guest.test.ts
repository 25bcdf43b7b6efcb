// SPDX-License-Identifier: Apache-2.0
// What the Rust kit promises, seen from the host.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load } from '../../src/runtime/load.ts'
import { kw } from '../../src/values/keywords.ts'
import { pattern } from '../support/bytes.ts'
import { rejection } from '../support/calls.ts'
import { loadRust, type RustGuest } from '../support/guests.ts'
import { rust } from '../support/paths.ts'

let guest: RustGuest
beforeAll(async () => {
  guest = await loadRust()
})
afterAll(() => guest.unload())

describe('arguments', () => {
  test('become types of serde, and results are made of them', async () => {
    const order = { customer: 'Ada', lines: [{ name: 'pen', count: 3, price: 1.5 }], note: 'grüße' }
    expect(await guest.invoice(order)).toEqual({ customer: 'Ada', total: 4.5, counts: { pen: 3 }, note: 'grüße' })
  })

  test('that do not fit are invalid-argument, with the function, the parameter and what is wrong', async () => {
    await rejection(guest.add('1', 2), 'invalid-argument', 'add(a, b)', '`a`', 'string "1", expected i64')
    await rejection(guest.add(1), 'invalid-argument', '`b`', 'it is missing')
    await rejection(guest.add(1, 2, 3), 'invalid-argument', 'it takes 2 arguments, and got more')
    await rejection(guest.nothing(1), 'invalid-argument', 'it takes no argument')
    await rejection(guest.echo('a text'), 'invalid-argument', 'expected bytes (a Uint8Array)')
    await rejection(
      guest.invoice({ customer: 'Ada', lines: [{ name: 'pen', count: -1, price: 1 }] }),
      'invalid-argument',
      'invoice(order): argument `order.lines[0].count`: -1 does not fit u32, which goes from 0 to 4294967295',
    )
    await rejection(guest.invoice({ customer: 'Ada' }), 'invalid-argument', 'missing field `lines`')
    await rejection(guest.echo_value('\ud800'), 'invalid-argument', 'hex escape')
  })

  test('nested too deeply are refused, and no stack overflows', async () => {
    const deep = JSON.parse('['.repeat(1000) + ']'.repeat(1000)) as unknown
    await rejection(guest.echo_value(deep), 'invalid-argument', 'a value below 127 others', 'nest less deeply')
    const nested = JSON.parse('['.repeat(120) + ']'.repeat(120)) as unknown
    expect(await guest.echo_value(nested)).toEqual(nested)
  })
})

test('arguments by name go to the parameters of those names', async () => {
  const call = (...args: unknown[]): Promise<unknown> => guest.call('add', args)
  expect(await call(kw({ b: 1, a: 41 }))).toBe(42)
  expect(await call(40, kw({ b: 2 }))).toBe(42)
  await rejection(call(1, kw({ nope: 2 })), 'invalid-argument', "add(a, b) has no parameter 'nope'")
})

describe('results', () => {
  test('of () and of None for bytes are undefined; null of a value is null', async () => {
    expect(await guest.nothing()).toBeUndefined()
    expect(await guest.kept()).toBeUndefined()
    expect(await guest.echo_value(null)).toBeNull()
  })

  test('that nothing carries are an error that says so', async () => {
    await rejection(guest.unencodable(), 'guest-error', 'json cannot carry what it returned', 'nested deeper than 127')
  })
})

describe('errors', () => {
  test('carry type, message, code and rc, and the chain of their causes', async () => {
    const error = await rejection(guest.fail('cannot start'), 'guest-error', 'Error: cannot start')
    expect(error.guest).toEqual({ type: 'Error', message: 'cannot start' })
    expect(error.cause).toMatchObject({ code: 'guest-error', rc: 17, guest: { code: 'no-file', type: 'Error' } })
    const root = (error.cause as Error).cause
    expect(root).toMatchObject({ guest: { type: 'io::Error', message: 'no such file' } })
  })

  test("with the author's own code and rc keep them", async () => {
    const error = await rejection(guest.fail_with_code('quota', 'used up', 42), 'guest-error', 'used up')
    expect(error).toMatchObject({ rc: 42, guest: { code: 'quota', message: 'used up' } })
    expect(error.cause).toMatchObject({ guest: { message: 'reading the port' } })
    expect(await rejection(guest.fail_with_code('quota', 'used up'), 'guest-error')).toMatchObject({ rc: 1 })
  })

  test('with messages longer than a slab piece arrive whole', async () => {
    const message = `"\n€${'x'.repeat(300_000)}`
    expect((await rejection(guest.fail(message), 'guest-error')).guest?.message).toBe(message)
  })

  test('of init fail the load, with rc, code and cause', async () => {
    const error = await rejection(load(rust, { config: { fail: 'no disk' } }), 'init-failed', rust, 'no disk')
    expect(error).toMatchObject({ rc: 42, guest: { code: 'fixture-init', message: 'no disk' } })
    expect(error.cause).toMatchObject({ guest: { message: 'the disk is full' } })
  })
})

test('bytes of every size go through bytes that may outlive the call', async () => {
  for (const size of [0, 1, 1024, 1025, 4096, 4097, 300_000, 2_000_000]) {
    expect(((await guest.echo_shared(pattern(size, 3))) as Buffer).equals(pattern(size, 3))).toBe(true)
  }
})

describe('a panic', () => {
  test('is a guest-error that says where it was, and the runtime lives on', async () => {
    for (const name of ['boom', 'boom_async'] as const) {
      const error = await rejection(guest[name](`${name}!`), 'guest-error', `panic: ${name}!`)
      expect(error.guest).toMatchObject({ type: 'panic', message: `${name}!` })
      expect(error.stack).toContain('fixtures/rust/src/lib.rs')
    }
    await Promise.all(Array.from({ length: 50 }, () => rejection(guest.boom(), 'guest-error', 'panic: boom')))
    expect(await guest.add(1, 2)).toBe(3)
  })

  test('in init is init-failed', async () => {
    await rejection(load(rust, { config: { panic: 'at once' } }), 'init-failed', 'at once')
  })
})

test('the manifest tells the functions, their parameters and which are async', () => {
  expect(guest.methods).toContainEqual({ name: 'add', params: ['a', 'b'], async: false })
  expect(guest.methods).toContainEqual({ name: 'echo_async', params: ['data'], async: true })
  expect(guest.info).toMatchObject({ language: 'rust' })
})
