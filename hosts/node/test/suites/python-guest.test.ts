// SPDX-License-Identifier: Apache-2.0
// What the Python kit promises, seen from the host.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load } from '../../src/runtime/load.ts'
import { kw } from '../../src/values/keywords.ts'
import { pattern } from '../support/bytes.ts'
import { rejection, until } from '../support/calls.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { anyCall, loadPython, type PythonGuest, placement } from '../support/guests.ts'
import { python } from '../support/paths.ts'

const folder = temporaryFolder()

let guest: PythonGuest
beforeAll(async () => {
  guest = await loadPython()
})
afterAll(() => guest.unload())

describe('arguments', () => {
  test('have the types that JSON has; bytes are a memoryview', async () => {
    const kinds: [unknown, string][] = [
      ['x', 'str'],
      [1, 'int'],
      [1.5, 'float'],
      [true, 'bool'],
      [null, 'NoneType'],
      [[1], 'list'],
      [{}, 'dict'],
      [Buffer.from('x'), 'memoryview'],
      [new ArrayBuffer(5000), 'memoryview'],
    ]
    for (const [value, kind] of kinds) expect(await guest.kind(value)).toBe(kind)
  })

  test('that do not fit are the error that Python has for it', async () => {
    await rejection(guest.add(1), 'guest-error', "TypeError: add() missing 1 required positional argument: 'b'")
    await rejection(guest.add(1, 2, 3), 'guest-error', 'TypeError: add() takes 2 positional arguments')
    await rejection(guest.add('a', 1), 'guest-error', 'TypeError: can only concatenate str')
    await rejection(guest.nothing(1), 'guest-error', 'TypeError')
  })

  test('nested too deeply are refused, and the runtime lives on', async () => {
    const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
    await rejection(guest.kind(nested(2500)), 'invalid-argument', 'a value below 127 others', 'nest less deeply')
    expect(await guest.kind(nested(120))).toBe('list')
    expect(await guest.add(1, 2)).toBe(3)
  })
})

describe.each(['thread', 'process'] as const)('arguments by name (%s)', (placement) => {
  const source = `
from typing import Any

def plot(data, *, axis=0, **more):
    return [data, axis, more]

def default(a, b=3, c=4):
    return [a, b, c]

async def later(a, *, scale):
    return a * scale

def each(items, *, start):
    for item in items:
        yield start + item
`
  test('reach every kind of function, and leave defaults alone', async () => {
    const guest = await load(`python:${write(folder, `by_name_${placement}.py`, source)}`, { placement })
    const call = (name: string, ...args: unknown[]): Promise<unknown> => guest.call(name, args)
    expect(await call('plot', 1, kw({ axis: 2, color: 'red', big: 2n ** 70n }))).toEqual([
      1,
      2,
      { color: 'red', big: 2n ** 70n },
    ])
    expect(await call('default', kw({ c: 5, a: 1 }))).toEqual([1, 3, 5])
    expect(await call('default', 1, undefined, undefined)).toEqual([1, 3, 4])
    expect(await call('default', 1, kw({ b: undefined }))).toEqual([1, 3, 4])
    expect(await call('later', 2, kw({ scale: 3 }))).toBe(6)
    const items: unknown[] = []
    for await (const item of guest.stream('each', [kw({ start: 10 }), [1, 2].values()])) items.push(item)
    expect(items).toEqual([11, 12])
    await rejection(call('plot', 1, kw({ axis: 1 }), 2), 'invalid-argument', 'kw() at argument 2: pass it as the last')
    await rejection(call('default', kw({ nope: 1 })), 'guest-error', "unexpected keyword argument 'nope'")
    await guest.unload()
  })
})

describe('results', () => {
  test('of None are undefined, of bytes are Buffers, of anything else what JSON makes of them', async () => {
    expect(await guest.echo(null)).toBeUndefined()
    expect(await guest.fill(3)).toEqual(Buffer.from('xxx'))
    expect(await guest.echo(Buffer.from('raw'))).toEqual(Buffer.from('raw'))
    expect(await guest.echo({ a: [null, 1.5, 'grüße', '\ud800'] })).toEqual({ a: [null, 1.5, 'grüße', '\ud800'] })
  })

  test('that nothing carries say what to return instead', async () => {
    await rejection(guest.returns_object(), 'guest-error', 'of type object, cannot be sent', 'return dict, list, str')
    await rejection(guest.returns_cycle(), 'guest-error', 'a cycle at [0]')
    expect(await guest.returns_set()).toEqual({ tags: new Set(['a', 'b']) })
    expect(await guest.nan()).toEqual({ value: Number.NaN })
    expect(await guest.returns_surrogate()).toBe('\ud800')
  })
})

describe('errors', () => {
  test('carry type, message and traceback, and the error that caused them', async () => {
    const error = await rejection(guest.fail('it is broken'), 'guest-error', 'ValueError: it is broken')
    expect(error.rc).toBe(1)
    expect(error.guest).toMatchObject({ type: 'ValueError', message: 'it is broken' })
    expect(error.stack).toMatch(/^PolyloopError: ValueError: it is broken\n/)
    expect(error.stack).toContain('Traceback (most recent call last)')
    expect(error.stack).toContain('basic.py')
    expect(error.stack).toContain('The above exception was the direct cause')
    expect(error.cause).toMatchObject({ code: 'guest-error', guest: { type: 'KeyError', message: "'missing'" } })
  })

  test('of async functions have a traceback too', async () => {
    const error = await rejection(guest.fail_async('later'), 'guest-error', 'ValueError: later')
    expect(error.stack).toContain('in fail_async')
  })

  test('that are no Exception end the call, not the process', async () => {
    await rejection(guest.exits(), 'guest-error', 'SystemExit: leaving')
    await rejection(guest.recurses(), 'guest-error', 'RecursionError')
    expect(await guest.add(1, 2)).toBe(3)
  })
})

describe('a request that the guest keeps', () => {
  for (const size of [3, 4096, 4097, 300_000]) {
    test(`of ${size} bytes is not used again until it is dropped`, async () => {
      await guest.keep(pattern(size, 1))
      await guest.keep(pattern(size, 2))
      for (let round = 0; round < 10; round++) {
        await Promise.all(Array.from({ length: 100 }, (_, index) => guest.checksum(pattern(size, index))))
      }
      expect(guest.stats().pinned).toBe(size > 4096 ? 2 : 0)
      const kept = Buffer.concat([pattern(size, 1).subarray(1), pattern(size, 2).subarray(1)])
      expect(((await guest.kept()) as Buffer).equals(kept)).toBe(true)
      expect(await guest.drop_kept()).toBe(2)
      await until(() => guest.stats().pinned === 0)
    })
  }
})

test('def and async def run side by side: a slow one holds up no other', async () => {
  const order: string[] = []
  const slow = Promise.all([guest.sleep_ms(100), guest.sleep_async(100)]).then(() => order.push('slow'))
  const quick = Promise.all([guest.add(1, 2), guest.echo_async(1)]).then(() => order.push('quick'))
  await Promise.all([slow, quick])
  expect(order).toEqual(['quick', 'slow'])
})

test('a guest that stops its asyncio loop has crashed, with advice, and can be loaded anew', async () => {
  const config = { test: 'stops its loop' }
  const stopped = await loadPython({ config, ...(placement === 'process' && { restart: false }) })
  await rejection(stopped.stop_loop(), 'guest-crashed', 'stopped its asyncio loop', 'load the guest again')
  await rejection(stopped.add(1, 2), 'guest-crashed')
  await using fresh = await loadPython({ config })
  expect(await fresh.echo_async('alive')).toBe('alive')
})

test.each(['spawn', 'forkserver'])('child processes of multiprocessing have the kit: %s', async (method) => {
  const source = `
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver, resource_tracker

import polyloop

def _double(number):
    if number < 0:
        raise polyloop.Error('too small', code='small')
    return [number * 2, polyloop.cancelled()]

def in_child(number):
    with ProcessPoolExecutor(1, multiprocessing.get_context('${method}')) as pool:
        return pool.submit(_double, number).result()

def clear():
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()
`
  await using parent = await load(`python:${write(folder, `${method}.py`, source)}`, { placement })
  expect(await parent.call('in_child', [4])).toEqual([8, false])
  const error = await rejection(parent.call('in_child', [-1]), 'guest-error', 'too small')
  expect(error.guest?.code).toBe('small')
  await parent.call('clear')
})

test('functions with the names of what a runtime has are reached by call', async () => {
  const names = ['call', 'send', 'stats', 'unload', 'methods', 'info', 'then', 'toJSON', 'constructor', 'inspect']
  const source = names.map((name) => `def ${name}(): return "${name}"\n`).join('')
  await using odd = await load(`python:${write(folder, 'odd.py', source)}`)
  for (const name of names) expect(await odd.call(name)).toBe(name)
  expect(odd.methods.map(({ name }) => name)).toEqual(names)
})

test('names and texts need not be ASCII', async () => {
  const path = write(folder, 'ünïcode folder/grüße.py', 'def größe(text): return len(text)\n')
  await using odd = await load(`python:${path}`)
  expect(await anyCall(odd, 'größe', 'äöü')).toBe(3)
  expect(odd.methods).toEqual([{ name: 'größe', params: ['text'], async: false }])
})

test('the manifest tells the functions, their parameters and which are async', () => {
  expect(guest.methods).toContainEqual({ name: 'add', params: ['a', 'b'], async: false })
  expect(guest.methods).toContainEqual({ name: 'echo_async', params: ['data'], async: true })
  expect(guest.info).toMatchObject({ python: expect.stringMatching(/^3\./) })
})

test('config reaches init, also an async one; without one it is None', async () => {
  await using configured = await loadPython({ config: { lang: 'en' } })
  expect(await configured.config()).toEqual({ lang: 'en' })
  await using plain = await loadPython({ config: undefined })
  expect(await plain.config()).toBeUndefined()
  await using later = await load(python('init_async'), { config: [1] })
  expect(await later.call('config')).toEqual([1])
})
