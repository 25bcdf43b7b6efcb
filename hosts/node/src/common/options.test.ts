// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { msgpack } from '../msgpack.ts'
import { differences, guestOptions, type LoadOptions, optionTable, settle, sharedIdentity } from './options.ts'

test('defaults are those of the documentation', () => {
  expect(settle({})).toMatchObject({
    config: '',
    threads: 0,
    maxCalls: 1024,
    maxBytes: 64 * 2 ** 20,
    maxPayload: 2 ** 30,
    whenFull: 'wait',
    spin: true,
    tracing: true,
    codec: 'json',
    encoding: { name: 'json' },
  })
})

test('a guest lives where its language lives, or where the option says, and only in a process there is more to say', () => {
  expect(settle({}, 'process')).toMatchObject({ placement: 'process', restart: { attempts: 5 } })
  expect(settle({ instances: 2 }, 'process')).toMatchObject({ placement: 'process', instances: 2 })
  expect(settle({ placement: 'thread' }, 'process')).toMatchObject({ placement: 'thread', restart: { attempts: 0 } })
  expect(settle({ placement: 'process' }, 'thread').placement).toBe('process')
  expect(() => settle({ placement: 'thread', instances: 2 }, 'process')).toThrow("placement: 'process'")
})

test('a config is anything that JSON can carry, and none is not null', () => {
  expect(settle({ config: { a: [1, null] } }).config).toBe('{"a":[1,null]}')
  expect(settle({ config: null }).config).toBe('null')
  expect(settle({ config: undefined }).config).toBe('')
})

test('bounds may be at their ends', () => {
  const most: LoadOptions = { threads: 1024, maxCalls: 65_536, maxBytes: Number.MAX_SAFE_INTEGER, maxPayload: 2 ** 30 }
  expect(settle(most)).toMatchObject(most)
  const least: LoadOptions = { threads: 1, maxCalls: 1, maxBytes: 1, maxPayload: 1 }
  expect(settle(least)).toMatchObject(least)
})

test("every option is one in which two loads can differ, except the config, and what is each caller's own", () => {
  const log = (): void => undefined
  const others: LoadOptions = {
    threads: 3,
    maxCalls: 2,
    maxBytes: 2,
    maxPayload: 2,
    whenFull: 'fail',
    callTimeout: 1,
    codec: msgpack,
    spin: false,
    tracing: false,
    python: 'python3',
    venv: '.venv',
    log,
    placement: 'process',
    shared: 'name',
    instances: 2,
    restart: { attempts: 1 },
    heartbeat: 1000,
    whenHung: 'kill',
    maxMemory: 2 ** 30,
    drainTimeout: 1,
    copyBytes: true,
    hotReload: true,
    onEvent: log,
  }
  expect(differences(settle({}), settle({}))).toEqual([])
  expect(differences(settle(others), settle({ ...others, config: 1 }))).toEqual([])
  // What is not said again is as it is.
  expect(differences(settle(others), settle({}))).toEqual([])
  expect(differences(settle({ codec: msgpack }), settle({ codec: { ...msgpack } }))).toEqual([])
  const names = Object.keys(others)
  expect(differences(settle({}), settle(others))).toEqual(
    names.filter((name) => !['restart', 'log', 'onEvent'].includes(name)),
  )
  expect(differences(settle({ placement: 'process' }), settle(others))).toEqual(
    names.filter((name) => !['placement', 'log', 'onEvent'].includes(name)),
  )
})

test('a guest may be shared in a process of its own, by the workers of a program or by a name', () => {
  const placement = 'process'
  expect(settle({ placement }).shared).toBe(false)
  for (const shared of [true, false, 'a name']) expect(settle({ placement, shared }).shared).toBe(shared)
  for (const shared of ['', 1, null]) {
    expect(() => settle({ placement, shared: shared as never })).toThrow('shared is not true, false or a name')
  }
  expect(() => settle({ shared: true })).toThrow("shared is an option of placement: 'process'")
})

test('options of processes are refused for threads, and what they take is told', () => {
  expect(() => settle({ instances: 2 })).toThrow("instances is an option of placement: 'process'")
  expect(() => settle({ placement: 'fibre' as never })).toThrow("placement is not 'thread' or 'process'")
  const restarts = [
    3,
    null,
    { attempts: -1 },
    { attempts: 0.5 },
    { minDelay: -1 },
    { maxDelay: Number.NaN },
    { resetAfter: '1' },
  ]
  for (const restart of restarts)
    expect(() => settle({ placement: 'process', restart: restart as never })).toThrow('restart')
  const { restart } = settle({ placement: 'process', restart: { attempts: Number.POSITIVE_INFINITY } })
  expect(restart).toEqual({
    attempts: Number.POSITIVE_INFINITY,
    minDelay: 100,
    maxDelay: 10_000,
    resetAfter: 60_000,
    timeout: 0,
  })
})

test('null means the default of an option that takes an integer with one, and is refused otherwise', () => {
  const integers = {
    maxCalls: null,
    maxBytes: null,
    maxPayload: null,
    sample: null,
    instances: null,
    heartbeat: null,
    maxMemory: null,
    drainTimeout: null,
  }
  const given = { placement: 'process', ...integers } as unknown as LoadOptions
  expect(differences(settle(given), settle({ placement: 'process' }))).toEqual([])
  for (const name of ['threads', 'whenFull', 'spin', 'tracing', 'python', 'venv', 'log', 'restart', 'shared']) {
    const wrong = { placement: 'process', [name]: null } as LoadOptions
    expect(() => settle(wrong)).toThrow(`${name} is not `)
  }
})

test('a guest on threads is told its threads, its config and the name of its codec', () => {
  const settings = settle({ config: { a: 1 }, threads: 3, codec: msgpack, maxPayload: 5 })
  expect(guestOptions(settings)).toEqual({ config: '{"a":1}', threads: 3, codec: 'msgpack' })
  expect(guestOptions(settle({}))).toEqual({ config: '', threads: 0, codec: 'json' })
})

test('a guest in a process is told its bounds, too, and how often its heart is to beat', () => {
  const settings = settle({ placement: 'process', heartbeat: 1000, maxMemory: 2 ** 30, maxPayload: 5, drainTimeout: 1 })
  const told = { config: '', threads: 0, codec: 'json', maxPayload: 5, maxMemory: 2 ** 30, beat: 250 }
  expect(guestOptions(settings)).toEqual(told)
  const beats = [0, 1, 3, 7, 8].map((heartbeat) => guestOptions(settle({ placement: 'process', heartbeat })).beat)
  expect(beats).toEqual([0, 1, 1, 1, 2])
})

test('those who share a guest agree on what it is told, and on when it has to end, and on nothing else', () => {
  const placement = 'process'
  const sharedBy = (options: LoadOptions): string => JSON.stringify(sharedIdentity(settle({ placement, ...options })))
  const log = (): void => undefined
  const ofGuest: LoadOptions[] = [
    { config: 1 },
    { threads: 3 },
    { maxPayload: 2 },
    { codec: msgpack },
    { heartbeat: 1000 },
    // The guest beats as often as it would for 1000.
    { heartbeat: 1001 },
    { maxMemory: 1 },
    { drainTimeout: 1 },
  ]
  expect(new Set([{}, ...ofGuest].map(sharedBy)).size).toBe(1 + ofGuest.length)
  expect(sharedBy({ codec: { ...msgpack } })).toBe(sharedBy({ codec: msgpack }))
  type OfProcess = 'heartbeat' | 'maxMemory' | 'drainTimeout'
  const ofHost: Required<Omit<LoadOptions, 'config' | 'threads' | 'maxPayload' | 'codec' | 'placement' | OfProcess>> = {
    maxCalls: 2,
    maxBytes: 2,
    whenFull: 'fail',
    callTimeout: 1,
    spin: false,
    sample: 1,
    tracing: false,
    python: 'python3',
    venv: '.venv',
    log,
    shared: 'name',
    instances: 2,
    restart: { attempts: 1 },
    whenHung: 'kill',
    timeout: 1,
    signal: AbortSignal.abort(),
    copyBytes: true,
    hotReload: true,
    onEvent: log,
  }
  expect(sharedBy(ofHost)).toBe(sharedBy({}))
})

test('the option table says of each option, and of each part of one, what the reference needs', () => {
  const all = Object.values(optionTable).flatMap((option) => [option, ...Object.values(option.parts ?? {})])
  expect(all.length).toBeGreaterThan(Object.keys(optionTable).length)
  for (const { doc } of all) expect(doc).toMatch(/\S/)
})
