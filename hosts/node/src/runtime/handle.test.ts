// SPDX-License-Identifier: Apache-2.0
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { PolyloopError } from '../common/errors.ts'
import { toHandle } from './handle.ts'
import type { RuntimeCore } from './runtime.ts'

/** What the handle asks of its runtime, written down. */
function recorder(...names: string[]): {
  asked: unknown[][]
  runtime: Record<string, (...args: unknown[]) => unknown>
  refuse(error: PolyloopError): void
} {
  const asked: unknown[][] = []
  const note =
    (what: string) =>
    (...args: unknown[]) =>
      asked.push([what, ...args])
  const core = {
    methods: names.map((name) => ({ name })),
    info: { language: 'none' },
    manifest: {
      number: (name: string) => (names.includes(name) ? names.indexOf(name) : undefined),
      info: { language: 'none' },
    },
    name: `a guest with ${names}`,
    call: note('call'),
    stream: note('stream'),
    duplex: note('duplex'),
    send: note('send'),
    stats: note('stats'),
  }
  const lease = { refusal: () => refusal, unload: async (...args: unknown[]) => void note('unload')(...args) }
  let refusal: PolyloopError | undefined
  const refuse = (error: PolyloopError): void => {
    refusal = error
  }
  return { asked, runtime: toHandle(core as unknown as RuntimeCore, lease) as never, refuse }
}

describe('a handle', () => {
  test('turns functions into calls by position', () => {
    const { asked, runtime } = recorder('add')
    runtime.add?.(1, 2)
    runtime.add?.()
    expect(asked).toEqual([
      ['call', 'add', [1, 2], undefined],
      ['call', 'add', [], undefined],
    ])
  })

  test('calls by name, with any arguments and options', async () => {
    const { asked, runtime } = recorder('add')
    const options = { deadline: 1 }
    runtime.call?.('add', [1, 2], options)
    runtime.call?.('add')
    runtime.stream?.('nope', [null])
    runtime.duplex?.('add', [1])
    expect(asked).toEqual([
      ['call', 'add', [1, 2], options],
      ['call', 'add', [], undefined],
      ['stream', 'nope', [null], undefined],
      ['duplex', 'add', [1], undefined],
    ])
    await expect(runtime.call?.('add', 1, options)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: "the arguments of call are not an array: call('add', [argument])",
    })
    const stream = runtime.stream?.('add', 'text') as AsyncIterator<unknown>
    await expect(stream.next()).rejects.toMatchObject({ code: 'invalid-argument' })
    const duplex = runtime.duplex?.('add', 'text') as AsyncIterator<unknown>
    await expect(duplex.next()).rejects.toMatchObject({ code: 'invalid-argument' })
  })

  test('has the functions of the guest with options', () => {
    const { asked, runtime } = recorder('add', 'with')
    const [first, more] = [{ deadline: 1 }, { signal: AbortSignal.abort() }]
    const bound = runtime.with?.(first) as typeof runtime
    const { add } = bound
    add?.(1, 2)
    bound.call?.('with', [3])
    bound.stream?.('add')
    bound.duplex?.('add', [4])
    bound.send?.(Buffer.from('x'))
    const both = bound.with?.(more) as typeof runtime
    both.add?.(5)
    expect(asked).toEqual([
      ['call', 'add', [1, 2], first],
      ['call', 'with', [3], first],
      ['stream', 'add', [], first],
      ['duplex', 'add', [4], first],
      ['send', Buffer.from('x'), first],
      ['call', 'add', [5], { ...first, ...more }],
    ])
    expect([typeof bound.nope, 'add' in bound, 'nope' in bound, bound.then]).toEqual([
      'undefined',
      true,
      false,
      undefined,
    ])
  })

  test('refuses what is called through it once it is unloaded', async () => {
    const { asked, runtime, refuse } = recorder('add')
    const error = new PolyloopError('unloaded', 'x')
    refuse(error)
    for (const call of [runtime.add?.(1), runtime.call?.('add'), runtime.send?.(1)])
      await expect(call).rejects.toBe(error)
    for (const stream of [runtime.stream?.('add'), runtime.duplex?.('add')] as AsyncIterator<unknown>[]) {
      await expect(stream.next()).rejects.toBe(error)
    }
    expect(asked).toEqual([])
  })

  test('has no functions that the guest does not have', () => {
    const { runtime } = recorder('add')
    expect([typeof runtime.nope, 'nope' in runtime, 'add' in runtime]).toEqual(['undefined', false, true])
    expect(() => runtime.nope?.()).not.toThrow()
  })

  test('keeps its own names, whatever the guest calls its functions', () => {
    const { asked, runtime } = recorder('unload', 'then', 'stats', 'toJSON', 'constructor')
    runtime.unload?.({ timeout: 5 })
    runtime.stats?.()
    expect(asked).toEqual([['unload', { timeout: 5 }], ['stats']])
    expect([runtime.then, runtime.toJSON, runtime.constructor]).toEqual([undefined, undefined, undefined])
  })

  test('shows the functions that there are, and is frozen', () => {
    const { runtime } = recorder('add', 'greet')
    const own = ['with', 'call', 'stream', 'duplex', 'send', 'alloc', 'stats', 'reload', 'unload', 'methods', 'info']
    expect(Object.keys(runtime)).toEqual([...own, 'add', 'greet'])
    expect(Object.isFrozen(runtime)).toBe(true)
  })

  test('has nothing under symbols or private names', () => {
    const { asked, runtime } = recorder()
    for (const name of ['_private', '$typeof', '@@iterator', Symbol.iterator, Symbol.toPrimitive]) {
      expect(runtime[name as string]).toBeUndefined()
    }
    expect(asked).toEqual([])
  })

  test('unloads at the end of await using', async () => {
    const { asked, runtime } = recorder()
    await (runtime as unknown as AsyncDisposable)[Symbol.asyncDispose]()
    expect(asked).toEqual([['unload']])
  })

  test('is an object that can be looked at as others, and nobody is called', async () => {
    const { asked, runtime } = recorder('add')
    class Other {}
    const ask = (name: string, argument: unknown): unknown => runtime[name]?.(argument)
    const looks: Record<string, unknown> = {
      hasOwnProperty: ask('hasOwnProperty', 'add'),
      hasNoProperty: ask('hasOwnProperty', 'nope'),
      isEnumerable: ask('propertyIsEnumerable', 'add'),
      isPrototype: ask('isPrototypeOf', {}),
      text: `${runtime as unknown as string}`,
      sum: (runtime as unknown as string) + 1,
      equals: (runtime as unknown) === 'x',
      locale: runtime.toLocaleString?.(),
      tag: Object.prototype.toString.call(runtime),
      is: runtime instanceof Other,
      isObject: runtime instanceof Object,
      in: ['add' in runtime, 'hasOwnProperty' in runtime],
      spread: Object.keys({ ...runtime }).includes('add'),
      json: JSON.parse(JSON.stringify(runtime)),
      inspected: inspect(runtime, { showProxy: true, depth: 5, getters: true }).includes('add'),
      awaited: (await runtime) === runtime,
      raced: (await Promise.race([runtime])) === runtime,
      tagged: Object.fromEntries(Object.entries(runtime)).add === runtime.add,
    }
    expect(looks).toEqual({
      hasOwnProperty: true,
      hasNoProperty: false,
      isEnumerable: true,
      isPrototype: false,
      text: '[object Object]',
      sum: '[object Object]1',
      equals: false,
      locale: '[object Object]',
      tag: '[object Object]',
      is: false,
      isObject: false,
      in: [true, false],
      spread: true,
      json: { methods: [{ name: 'add' }], info: { language: 'none' } },
      inspected: true,
      awaited: true,
      raced: true,
      tagged: true,
    })
    expect(asked).toEqual([])
  })

  test('calls what a guest has by the names of objects by call alone', () => {
    const names = ['hasOwnProperty', 'toString', 'valueOf', 'isPrototypeOf', 'then', '__proto__', 'constructor']
    const { asked, runtime } = recorder(...names)
    const ask = (name: string, argument: unknown): unknown => runtime[name]?.(argument)
    expect(`${runtime as unknown as string}`).toBe('[object Object]')
    expect(ask('hasOwnProperty', 'toString')).toBe(false)
    expect(Object.getPrototypeOf({ ...runtime })).toBe(Object.prototype)
    expect(asked).toEqual([])
    for (const name of names) runtime.call?.(name, [1])
    expect(asked).toEqual(names.map((name) => ['call', name, [1], undefined]))
  })
})
