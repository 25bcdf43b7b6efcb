// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Codec } from '../../src/common/codec.ts'
import { msgpack } from '../../src/msgpack.ts'
import { rejection } from '../support/calls.ts'
import { said } from '../support/child.ts'
import { emptyVenv, venvWith } from '../support/folders.ts'
import { loadPython, loadRust, type PythonGuest, type RustGuest } from '../support/guests.ts'
import { python } from '../support/paths.ts'

/** JSON by hand, which both kits take for their own. */
const byHand: Codec = {
  name: 'json',
  encode: (value) => {
    if (value === 'throw') throw new Error('this one not')
    if (value === 'nothing') return undefined as unknown as Uint8Array
    if (value === 'text') return 'a text' as unknown as Uint8Array
    return Buffer.from(JSON.stringify(value))
  },
  decode: (bytes) => {
    const value = JSON.parse(Buffer.from(bytes).toString()) as unknown
    if (value === 'undecodable') throw new Error('not that one')
    return value
  },
}

describe('msgpack', () => {
  let rust: RustGuest
  let guest: PythonGuest
  beforeAll(async () => {
    rust = await loadRust({ codec: msgpack })
    guest = await loadPython({ codec: msgpack, venv: venvWith('msgpack') })
  })
  afterAll(() => Promise.all([rust.unload(), guest.unload()]))

  test('carries bytes within values, which stay as they are while more come', async () => {
    const sent = { bytes: new Uint8Array([1, 2, 3]), more: [new Uint8Array(5000).fill(9)] }
    const first = (await guest.echo(sent)) as typeof sent
    await Promise.all(
      Array.from({ length: 2000 }, (_, index) => guest.echo({ bytes: new Uint8Array(100).fill(index) })),
    )
    expect([...first.bytes]).toEqual([1, 2, 3])
    expect([...(first.more[0] as Uint8Array)]).toEqual(Array.from({ length: 5000 }, () => 9))
  })

  test('carries bigints of 64 bits', async () => {
    expect(await guest.add(2n ** 40n, 1n)).toBe(2 ** 40 + 1)
  })

  test('leaves bytes alone that are the only argument, and undefined away', async () => {
    expect(await guest.kind(new Uint8Array(3))).toBe('memoryview')
    await rejection(rust.echo_value(undefined), 'invalid-argument', 'is missing')
  })

  test('says what it cannot carry', async () => {
    const cycle: unknown[] = []
    cycle.push(cycle)
    for (const value of [cycle, Symbol('x'), () => 1]) {
      await rejection(guest.echo(value), 'invalid-argument', 'cannot be encoded as msgpack', 'pass what the codec can')
    }
    await rejection(guest.returns_object(), 'guest-error', 'cannot be sent')
  })

  test('of a Python without the package says how to get it', async () => {
    const load = `await outcome(load(${JSON.stringify(python('basic'))}, { codec: msgpack, venv: process.env.VENV }))`
    const [outcome] = await said(`say(${load})`, { env: { ...process.env, VENV: emptyVenv() } })
    expect(outcome).toEqual([
      'rejected',
      'init-failed',
      expect.stringMatching(/needs the package msgpack.*-m pip install msgpack/),
    ])
  })
})

describe("a caller's own codec", () => {
  test('is used in both directions where the kit knows its name', async () => {
    await using rust = await loadRust({ codec: byHand })
    expect(await rust.echo_value({ by: 'hand' })).toEqual({ by: 'hand' })
    expect(await rust.add(1, 2)).toBe(3)
    expect(await rust.nothing()).toBeUndefined()
    expect(await rust.fill(3)).toBeInstanceOf(Buffer)
  })

  test('that the kit does not know fails the load, with the names that it knows', async () => {
    const avro = { ...byHand, name: 'avro' }
    await rejection(loadRust({ codec: avro }), 'init-failed', '`avro`', '`json` or `msgpack`')
    await rejection(
      loadPython({ codec: avro, venv: venvWith('msgpack') }),
      'init-failed',
      "'avro'",
      "'json' and 'msgpack'",
    )
  })

  test('that throws rejects the call with invalid-argument or protocol, and the next call goes on', async () => {
    await using rust = await loadRust({ codec: byHand })
    const encoding = await rejection(rust.echo_value('throw'), 'invalid-argument', 'encoded as json: this one not')
    expect(encoding.cause).toEqual(new Error('this one not'))
    const decoding = await rejection(
      rust.echo_value('undecodable'),
      'protocol',
      "the guest's response is not json",
      'or bytes',
    )
    expect(decoding.cause).toEqual(new Error('not that one'))
    expect(await rust.echo_value('fine')).toBe('fine')
    expect(rust.stats()).toMatchObject({ inFlight: 0, bytesInFlight: 0 })
  })

  test('that encodes to something else than bytes is told so', async () => {
    await using rust = await loadRust({ codec: byHand })
    await rejection(rust.echo_value('nothing'), 'invalid-argument', 'its encode returned undefined, not a Uint8Array')
    await rejection(rust.echo_value('text'), 'invalid-argument', 'its encode returned string, not a Uint8Array')
    expect(await rust.echo_value('fine')).toBe('fine')
  })
})
