// SPDX-License-Identifier: Apache-2.0
// Whatever a caller passes in may throw, return anything, or call us again, in any place: the other calls settle, the
// unload settles, and the program ends. What comes of the caller's own call is an error of ours, if it is one.
import { describe, expect, test } from 'vitest'
import { said } from '../support/child.ts'
import { rust } from '../support/paths.ts'

/** What each program begins with: the manners, the places, and what is done in one of them. */
const head = `
import { PolyloopError } from '${new URL('../../dist/index.js', import.meta.url).href}'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'

// What functions of callers throw is an uncaught exception of their own.
process.on('uncaughtException', () => {})
process.on('unhandledRejection', () => {})

const refuse = (why) => () => { throw new Error(why) }
const untouchable = new Proxy(() => {}, {
  get: refuse('get'), has: refuse('has'), getPrototypeOf: refuse('getPrototypeOf'), apply: refuse('apply'),
  ownKeys: refuse('ownKeys'), getOwnPropertyDescriptor: refuse('getOwnPropertyDescriptor'),
})

let guest
let inner = []
let depth = 0
/** Calls the guest from inside a call: not for ever, for such a call comes here, too. */
const again = (what) => {
  if (guest === undefined || depth >= 20) return
  depth++
  inner.push(outcomeOf(what()))
}
const manners = {
  'throws an error': refuse('mine'),
  'throws nothing': () => { throw undefined },
  'throws what cannot be read': () => { throw untouchable },
  'returns null': () => null,
  'returns what cannot be read': () => untouchable,
  'returns what has no text': () => Object.create(null),
  'rejects': () => Promise.reject(new Error('mine')),
  'rejects with what cannot be read': () => Promise.reject(untouchable),
  'never settles': () => ({ then() {} }),
  'settles twice': () => ({ then(yes, no) { yes({ done: false, value: 1 }); no(new Error('twice')); yes({ done: true }) } }),
  'calls the guest': () => again(() => guest.echo(Buffer.from('inner'))),
  'reloads the guest': () => again(() => guest.reload()),
  'unloads the guest': () => again(() => guest.unload()),
  'loads another guest': () => {
    if (inner.length === 0) inner.push(outcomeOf(load(rust, { config: { inner: Math.random() } }).then((other) => other.unload())))
  },
}

const names = ['start', 'encode', 'queue', 'submit', 'response', 'settle', 'error', 'cancel']
const channels = [...names.map((name) => 'polyloop:call:' + name), 'polyloop:instance']
const codec = (own) => ({
  name: 'json',
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(bytes.toString()),
  ...own,
})
const iterable = (iterator) => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), ...iterator }) })
const withGetter = (name, get) => Object.defineProperty({}, name, { get, enumerable: true })

/** What is passed in each place: options of the load, and what is called with it; \`signal\` ends what does not end by itself. */
const places = {
  'asyncIterator of an argument': (odd) => ({ use: (signal) => [guest.call('total', [{ [Symbol.asyncIterator]: odd }], { signal })] }),
  'next of an iterator': (odd) => ({ use: (signal) => [guest.call('total', [iterable({ next: odd, return: odd })], { signal })] }),
  'return of an iterator': (odd) => ({
    use: (signal) => [1, 2, 3].map(() => guest.call('total', [iterable({ return: odd })], { signal })),
  }),
  'return of an iterator, as a getter': (odd) => ({
    use: (signal) => [guest.call('total', [{ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), get return() { return odd() } }) }], { signal })],
  }),
  'the iterator of a stream both ways': (odd) => ({
    use: (signal) => [guest.stream('upper', [iterable({ next: odd, return: odd })], { signal }).next()],
  }),
  'toJSON of an argument': (odd) => ({ use: () => [guest.echo_value({ toJSON: odd }), guest.add({ toJSON: odd }, 1)] }),
  'a getter of an argument': (odd) => ({ use: () => [guest.echo_value(withGetter('a', odd))] }),
  'toJSON of an item': (odd) => ({
    use: (signal) => [guest.call('first', [(async function* () { yield { toJSON: odd } })()], { signal })],
  }),
  'encode of a codec': (odd) => ({ options: { codec: codec({ encode: odd }) }, use: () => [guest.echo_value({ a: 1 })] }),
  'decode of a codec': (odd) => ({ options: { codec: codec({ decode: odd }) }, use: () => [guest.add(1, 2), guest.stream('count', [3]).next()] }),
  'a getter of the options': (odd) => ({
    use: () => ['deadline', 'signal', 'context', 'ahead', 'onContext'].map((name) => guest.call('nothing', [], withGetter(name, odd))),
  }),
  'a getter of the context': (odd) => ({ use: () => [guest.call('nothing', [], { context: withGetter('a', odd) })] }),
  'the own functions of a signal': (odd) => ({
    use: (signal) => {
      Object.assign(signal, { addEventListener: odd, removeEventListener: odd })
      return [guest.call('park', [], { signal }), guest.call('nothing', [], { signal })]
    },
  }),
  'a listener of a signal': (odd) => ({
    use: (signal) => {
      signal.addEventListener('abort', odd)
      return [1, 2].map(() => guest.call('park', [], { signal }))
    },
  }),
  'onEvent': (odd) => ({ options: { onEvent: odd }, use: () => [guest.reload()] }),
  'log': (odd) => ({ options: { log: odd }, use: () => [guest.log_lines(3)] }),
  ...Object.fromEntries(channels.map((name) => ['the channel ' + name, (odd) => {
    // Node.js keeps what it is given by the function.
    const told = () => odd()
    subscribe(name, told)
    return {
      over: () => unsubscribe(name, told),
      use: (signal) => [guest.fail('why'), guest.call('park', [], { signal }), guest.stream('count', [3]).next()],
    }
  }])),
}

const outcomeOf = (promise) => promise.then(
  () => undefined,
  (error) => (error instanceof PolyloopError ? undefined : 'a raw error: ' + error?.stack),
)

/** One place, one manner. Returns what is wrong. */
async function play(place, manner, options, death) {
  guest = undefined
  inner = []
  depth = 0
  const { options: own, use, over } = places[place](manners[manner])
  const loaded = await load(rust, { config: { place, manner, ...options }, log: () => {}, onEvent: () => {}, ...options, ...own })
  guest = loaded
  const cancel = new AbortController()
  const others = [1, 2, 3].map(() => loaded.echo(Buffer.from('other')))
  const odd = use(cancel.signal).map(outcomeOf)
  others.push(loaded.echo(Buffer.from('other')))
  const settled = (await Promise.all(others.map(outcomeOf))).filter((wrong) => wrong !== undefined)
  if (death) await outcomeOf(loaded.abort())
  cancel.abort(untouchable)
  settled.push(...(await Promise.all(odd)).filter((wrong) => wrong !== undefined))
  // After a death it is started again, and answers, unless the function has unloaded it.
  const { code } = await loaded.echo(Buffer.from('last')).catch((error) => error)
  if (code !== undefined && code !== 'unloaded') settled.push('the last call: ' + code)
  await loaded.unload()
  over?.()
  settled.push(...(await Promise.all(inner)).filter((wrong) => wrong !== undefined))
  return settled
}

/** Says what is wrong, place by place. */
async function playAll(names, options = {}, death = false) {
  const loads = names ?? Object.keys(places)
  for (const place of loads) {
    if (places[place] === undefined) throw new Error('there is no place ' + place)
    const wrong = []
    for (const manner of Object.keys(manners)) {
      for (const one of await play(place, manner, options, death)) wrong.push(manner + ': ' + one)
    }
    say([place, wrong])
  }
  say('over')
}

const rust = ${JSON.stringify(rust)}
`

/** Nothing is wrong in any place, and the program has ended by itself. */
async function allIsWell(source: string, least: number): Promise<void> {
  const lines = (await said(head + source, { node: ['--no-warnings'] })) as (
    | string
    | [place: string, wrong: string[]]
  )[]
  expect(lines.pop()).toBe('over')
  expect(lines.length).toBeGreaterThanOrEqual(least)
  expect(lines.filter(([, wrong]) => wrong?.length !== 0)).toEqual([])
}

describe('a function of the caller that does what it likes', () => {
  test('on threads: all else settles, and the program ends', async () => {
    await allIsWell('await playAll()', 25)
  })

  test('in a process that dies under it: all else settles, the guest is there again, and the program ends', async () => {
    const places = ['next of an iterator', 'return of an iterator', 'return of an iterator, as a getter', 'onEvent']
    await allIsWell(`await playAll(${JSON.stringify(places)}, { placement: 'process' }, true)`, places.length)
  })
})

test('what a program puts behind the API of OpenTelemetry does what it likes: calls are what they are', async () => {
  const source = `
    const api = await import('@opentelemetry/api')
    const ids = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 }
    const none = () => {}
    const functions = ['setAttribute', 'setStatus', 'recordException', 'end']
    const span = (own) => ({ spanContext: () => ids, isRecording: () => true, ...Object.fromEntries(functions.map((name) => [name, none])), ...own })
    const tracer = (own, ofSpan) => ({ getTracer: () => ({ startSpan: () => span(ofSpan), ...own }) })
    const manager = (active) => ({ active, with: (_, run) => run(), bind: (_, one) => one, enable: none, disable: none })
    const parts = {
      'getTracer': (odd) => ({ provider: { getTracer: odd } }),
      'startSpan': (odd) => ({ provider: tracer({ startSpan: odd }) }),
      ...Object.fromEntries(['spanContext', 'isRecording', ...functions].map((name) => [name, (odd) => ({ provider: tracer({}, { [name]: odd }) })])),
      'active': (odd) => ({ manager: manager(odd) }),
      'inject': (odd) => ({ propagator: { inject: odd, extract: none, fields: none } }),
      'a carrier of nonsense': (odd) => ({
        propagator: { inject: (_, carrier) => Object.assign(carrier, { traceparent: 7, tracestate: {}, odd, a: 'x'.repeat(5000) }), extract: none, fields: none },
      }),
      'a logger': (odd) => ({ provider: tracer({ startSpan: refuse('why') }), logger: { error: odd, warn: none, info: none, debug: none, verbose: none } }),
    }
    for (const [name, make] of Object.entries(parts)) {
      places[name] = (odd) => {
        const { provider = tracer({}), manager, propagator, logger } = make(odd)
        api.trace.setGlobalTracerProvider(provider)
        if (manager !== undefined) api.context.setGlobalContextManager(manager)
        if (propagator !== undefined) api.propagation.setGlobalPropagator(propagator)
        if (logger !== undefined) api.diag.setLogger(logger)
        return {
          over: () => { for (const part of [api.trace, api.context, api.propagation, api.diag]) part.disable() },
          use: (signal) => [guest.fail('why'), guest.call('park', [], { signal }), guest.stream('count', [3]).next(), guest.call('nothing', [], { context: { a: 'b' } })],
        }
      }
    }
    await playAll(Object.keys(parts))
  `
  await allIsWell(source, 12)
})

test('arguments that cannot be read are invalid-argument, in every function that takes some', async () => {
  const source = `
    guest = await load(rust)
    const calls = {
      call: () => guest.call('echo_value', [untouchable]),
      name: () => guest.call(untouchable),
      method: () => guest.echo_value(untouchable),
      several: () => guest.add(untouchable, 1),
      options: () => guest.call('nothing', [], untouchable),
      stream: () => guest.stream('count', [untouchable]).next(),
      streamName: () => guest.stream(untouchable).next(),
      duplex: () => guest.duplex(untouchable).next(),
      send: () => guest.send(untouchable),
      bytes: () => guest.send(new Proxy(Buffer.from('x'), {})),
      date: () => guest.call('nothing', [], { deadline: new Proxy(new Date(), {}) }),
      signal: () => guest.call('nothing', [], { signal: new Proxy(new AbortController().signal, {}) }),
      fake: () => guest.call('nothing', [], { signal: Object.create(AbortSignal.prototype) }),
      onContext: () => guest.call('nothing', [], { onContext: 7 }),
      locator: () => load(untouchable),
      loadOptions: () => load(rust, untouchable),
      config: () => load(rust, { config: { toJSON: manners['throws what cannot be read'] } }),
      restart: () => load(rust, { placement: 'process', restart: withGetter('attempts', manners['throws nothing']) }),
      codec: () => load(rust, { codec: { get name() { throw untouchable } } }),
      log: () => load(rust, withGetter('log', manners['throws nothing'])),
    }
    for (const [name, make] of Object.entries(calls)) {
      let promise
      try { promise = make() } catch (error) { say([name, 'thrown at once']); continue }
      say([name, await promise.then(() => 'resolved', (error) => (error instanceof PolyloopError ? error.code : String(error?.stack)))])
    }
    await guest.unload()
  `
  const lines = (await said(head + source)) as [string, string][]
  const names = new Set(['name', 'streamName', 'duplex'])
  expect(lines).toEqual(lines.map(([name]) => [name, names.has(name) ? 'not-found' : 'invalid-argument']))
  expect(lines).toHaveLength(20)
})
