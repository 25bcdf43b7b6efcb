// SPDX-License-Identifier: Apache-2.0
// What the Rust kit promises, seen from the host.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load } from '../../src/runtime/load.ts'
import { pattern } from '../support/bytes.ts'
import { rejection, until } from '../support/calls.ts'
import { loadRust, type RustGuest } from '../support/guests.ts'
import { rust } from '../support/paths.ts'

let guest: RustGuest
beforeAll(async () => {
  guest = await loadRust()
})
afterAll(() => guest.unload())

describe('arguments', () => {
  test('none, one and several arrive by position', async () => {
    expect(await guest.inits()).toBeGreaterThan(0)
    expect(await guest.greet('Ada')).toBe('Hello, Ada!')
    expect(await guest.greet('Ada', 'Good morning')).toBe('Good morning, Ada!')
    expect(await guest.greet('Ada', null)).toBe('Hello, Ada!')
    expect(await guest.concat(['a', 'b'], '-')).toBe('a-b')
    expect(await guest.add(-3, 5)).toBe(2)
  })

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
    await rejection(guest.invoice({ customer: 'Ada' }), 'invalid-argument', 'missing field `lines`')
    await rejection(guest.echo_value('\ud800'), 'invalid-argument', 'hex escape')
  })

  test('nested too deeply are refused, and no stack overflows', async () => {
    const deep = JSON.parse('['.repeat(1000) + ']'.repeat(1000)) as unknown
    await rejection(guest.echo_value(deep), 'invalid-argument', 'recursion limit')
  })
})

describe('results', () => {
  test('of () and of None for bytes are undefined; null of a value is null', async () => {
    expect(await guest.nothing()).toBeUndefined()
    expect(await guest.kept()).toBeUndefined()
    expect(await guest.echo_value(null)).toBeNull()
  })

  test('of bytes are Buffers', async () => {
    const bytes = await guest.fill(3)
    expect(bytes).toBeInstanceOf(Buffer)
    expect(bytes).toEqual(Buffer.from([0, 31, 62]))
  })

  test('that JSON cannot carry are an error that says so', async () => {
    await rejection(guest.unencodable(), 'guest-error', 'json cannot carry what it returned', 'key must be a string')
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

  test('of async functions are the same', async () => {
    const error = await rejection(guest.fail_async('later'), 'guest-error', 'later')
    expect(error).toMatchObject({ rc: 3, guest: { code: 'fixture-async' } })
  })

  test('with messages of any length and content arrive whole', async () => {
    for (const length of [0, 900, 1024, 5000, 300_000]) {
      const message = `"\n€${'x'.repeat(length)}`
      expect((await rejection(guest.fail(message), 'guest-error')).guest?.message).toBe(message)
    }
  })

  test('of init fail the load, with rc, code and cause', async () => {
    const error = await rejection(load(rust, { config: { fail: 'no disk' } }), 'init-failed', rust, 'no disk')
    expect(error).toMatchObject({ rc: 42, guest: { code: 'fixture-init', message: 'no disk' } })
    expect(error.cause).toMatchObject({ guest: { message: 'the disk is full' } })
  })
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

describe('a request that the guest keeps', () => {
  for (const size of [3, 4096, 4097, 300_000]) {
    test(`of ${size} bytes is not used again until it is dropped`, async () => {
      expect(await guest.keep(pattern(size, 1))).toBe(size)
      await until(() => guest.stats().inFlight === 0)
      for (let round = 0; round < 20; round++) {
        await Promise.all(Array.from({ length: 100 }, (_, index) => guest.length(pattern(size, index))))
      }
      expect(guest.stats().pinned).toBe(size > 4096 ? 1 : 0)
      expect(((await guest.kept()) as Buffer).equals(pattern(size, 1))).toBe(true)
      await until(() => guest.stats().pinned === 0)
    })
  }
})

test('functions run on as many threads as were asked for', async () => {
  await using three = await loadRust({ threads: 3 })
  const before = (await three.threads_seen()) as number
  const seen = (await Promise.all(Array.from({ length: 40 }, () => three.threads_seen()))) as number[]
  // Threads of earlier runtimes count too: the fixture's set is of the process.
  expect(Math.max(...seen) - before).toBeLessThan(3)
  expect(Math.max(...seen)).toBeGreaterThanOrEqual(3)
})

test('the manifest tells the functions, their parameters and which are async', () => {
  expect(guest.methods).toContainEqual({ name: 'add', params: ['a', 'b'], async: false })
  expect(guest.methods).toContainEqual({ name: 'echo_async', params: ['data'], async: true })
  expect(guest.info).toMatchObject({ language: 'rust' })
})

test('config reaches init; without one it is null', async () => {
  await using configured = await loadRust({ config: { lang: 'en', deep: [1, { a: null }] } })
  expect(await configured.config()).toEqual({ lang: 'en', deep: [1, { a: null }] })
  await using plain = await loadRust({ config: undefined })
  expect(await plain.config()).toBeNull()
})
