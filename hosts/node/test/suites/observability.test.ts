// SPDX-License-Identifier: Apache-2.0
// What is told of calls: the channels of node:diagnostics_channel, and spans of the real OpenTelemetry.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { cpSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  context,
  createTraceState,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  CompositePropagator,
  suppressTracing,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from '@opentelemetry/core'
import {
  AlwaysOffSampler,
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { CallMessage, InstanceMessage } from '../../src/observe/diagnostics.ts'
import { missing } from '../../src/observe/tracing.ts'
import type { Runtime } from '../../src/runtime/handle.ts'
import { load } from '../../src/runtime/load.ts'
import { rejection, until } from '../support/calls.ts'
import { said } from '../support/child.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { anyCall, loadRust, placement, type RustGuest } from '../support/guests.ts'
import { inRoot, rust } from '../support/paths.ts'
import { all, Feed, numbers } from '../support/streams.ts'

const stops = ['start', 'encode', 'queue', 'submit', 'response', 'settle', 'error', 'cancel']

interface Told extends CallMessage {
  /** The channel, without what all begin with. */
  readonly stop: string
  readonly message: unknown
}

/** What the channels tell until the test is over, as it was then. */
function listen(...names: string[]): Told[] {
  const told: Told[] = []
  for (const stop of names.length === 0 ? stops : names) {
    const listener = (message: unknown): void => void told.push({ ...(message as CallMessage), stop, message })
    subscribe(`polyloop:call:${stop}`, listener)
    onTestFinished(() => void unsubscribe(`polyloop:call:${stop}`, listener))
  }
  return told
}

const stopsOf = (told: readonly Told[], method?: string): string[] =>
  told.filter((one) => method === undefined || one.method === method).map(({ stop }) => stop)

describe('channels', () => {
  let guest: RustGuest
  beforeAll(async () => {
    guest = await loadRust({ sample: 1 })
  })
  afterAll(() => guest.unload())

  test('a call is told of at each stop, in order, by one object', async () => {
    const told = listen()
    expect(await guest.add(1, 2)).toBe(3)
    expect(stopsOf(told)).toEqual(['start', 'encode', 'submit', 'response', 'settle'])
    for (const one of told) {
      expect(one).toMatchObject({ runtime: rust, runtimeId: expect.any(Number), method: 'add', stream: false })
      expect(one.message).toBe(told[0]?.message)
    }
    expect(told.map(({ requestBytes }) => requestBytes)).toEqual([undefined, 5, 5, 5, 5])
    expect(told.map(({ responseBytes }) => responseBytes)).toEqual([undefined, undefined, undefined, 1, 1])
    expect(told.map(({ doorbell }) => typeof doorbell).slice(1, 3)).toEqual(['undefined', 'boolean'])
    expect(told.map(({ late }) => late).slice(2)).toEqual([undefined, false, false])
    expect(told.at(-1)?.error).toBeUndefined()
  })

  test('each call has an object of its own', async () => {
    const told = listen('start', 'settle')
    await Promise.all(Array.from({ length: 10 }, () => guest.echo(Buffer.from('x'))))
    const [begun, done] = [told.filter(({ stop }) => stop === 'start'), told.filter(({ stop }) => stop === 'settle')]
    expect(new Set(begun.map(({ message }) => message)).size).toBe(10)
    expect(new Set(begun.map(({ id }) => id)).size).toBe(10)
    expect(done.every(({ message }) => begun.some((one) => one.message === message))).toBe(true)
  })

  test.each(stops.slice(0, 2).concat(stops.slice(3, 6)))(
    '%s alone is told to who listens to it alone',
    async (stop) => {
      const told = listen(stop)
      await guest.add(1, 2)
      expect(stopsOf(told)).toEqual([stop])
    },
  )

  test('of a timed call the response says how long it waited and ran', async () => {
    const told = listen('response')
    await guest.sleep_ms(30)
    const [message] = told
    expect(message?.ran).toBeGreaterThanOrEqual(30)
    expect(message?.waited).toBeGreaterThan(0)
  })

  test('bytes of texts are bytes, not letters', async () => {
    const told = listen('encode', 'submit')
    await guest.echo_value('grüße')
    expect(told.map(({ requestBytes }) => requestBytes)).toEqual([9, 9])
  })

  test('a guest that sleeps has to be woken, and the submit says so', async () => {
    const told = listen('submit')
    await until(async () => {
      // The guest looks for work a while before it sleeps: turns without any.
      await new Promise((resolve) => setTimeout(resolve, 1))
      await guest.add(1, 2)
      return told.at(-1)?.doorbell === true
    })
    expect(guest.stats().thread.doorbells).toBeGreaterThan(0)
  })

  test('a call that waits for the bounds is queued, and submitted when another has left', async () => {
    const narrow = await loadRust({ maxCalls: 1 })
    const told = listen()
    const [first, second] = [narrow.echo(Buffer.from('x')), narrow.add(1, 2)]
    expect(stopsOf(told)).toEqual(['start', 'encode', 'submit', 'start', 'encode', 'queue'])
    expect(told.at(-1)?.queued).toBe(1)
    await Promise.all([first, second])
    expect(stopsOf(told, 'add')).toEqual(['start', 'encode', 'queue', 'submit', 'response', 'settle'])
    await narrow.unload()
  })

  test('a call that fails ends with the error that it rejects with', async () => {
    const told = listen()
    const error = await rejection(guest.fail('why'), 'guest-error')
    expect(stopsOf(told)).toEqual(['start', 'encode', 'submit', 'response', 'error'])
    expect(told.at(-1)?.error).toBe(error)
  })

  test('a call that is refused ends with its error, wherever it is refused', async () => {
    const other = await loadRust({ whenFull: 'fail', maxCalls: 1, maxPayload: 100 })
    const told = listen()
    await rejection((other as unknown as Runtime).call('nowhere'), 'not-found')
    await rejection(other.add(Symbol('x'), 2), 'invalid-argument')
    await rejection(other.send('text' as unknown as Buffer), 'invalid-argument')
    expect(stopsOf(told)).toEqual(['start', 'error', 'start', 'error', 'start', 'error'])
    told.length = 0
    await rejection(other.echo(Buffer.alloc(101)), 'too-large')
    await rejection(other.call('add', [1, 2], { signal: AbortSignal.abort() }), 'cancelled')
    expect(stopsOf(told)).toEqual(['start', 'encode', 'error', 'start', 'encode', 'error'])
    const busy = other.sleep_ms(20)
    told.length = 0
    await rejection(other.add(1, 2), 'overloaded')
    expect(stopsOf(told)).toEqual(['start', 'encode', 'error'])
    await busy
    await other.unload()
    told.length = 0
    await rejection(other.add(1, 2), 'unloaded')
    expect(stopsOf(told)).toEqual(['start', 'error'])
  })

  test('a call that is given up is cancelled, then rejects, and its late response is told of', async () => {
    const told = listen()
    const controller = new AbortController()
    const call = guest.call('sleep_ms', [20], { signal: controller.signal })
    controller.abort()
    const error = await rejection(call, 'cancelled')
    expect(stopsOf(told)).toEqual(['start', 'encode', 'submit', 'cancel', 'error'])
    expect(told.slice(3).map((message) => message.error)).toEqual([error, error])
    await until(() => told.length === 6)
    expect(told.at(-1)).toMatchObject({ stop: 'response', late: true, message: told[0]?.message })
  })

  test('a stream is one call, from its first item asked for to its end', async () => {
    const told = listen()
    const stream = (guest as unknown as Runtime).stream('count', [3])
    expect(told).toEqual([])
    expect(await all(stream)).toEqual([0, 1, 2])
    expect(stopsOf(told)).toEqual(['start', 'encode', 'submit', 'response', 'settle'])
    expect(told[0]?.stream).toBe(true)
  })

  test('a stream that its reader leaves is cancelled', async () => {
    const told = listen()
    for await (const _ of (guest as unknown as Runtime).stream('endless')) break
    expect(stopsOf(told)).toEqual(['start', 'encode', 'submit', 'cancel', 'error'])
    await until(() => told.at(-1)?.stop === 'response')
  })

  test('events of instances have a channel, beside onEvent', async () => {
    const [told, heard]: [InstanceMessage[], unknown[]] = [[], []]
    const listener = (message: unknown): void => void told.push(message as InstanceMessage)
    subscribe('polyloop:instance', listener)
    onTestFinished(() => void unsubscribe('polyloop:instance', listener))
    const other = await loadRust({ onEvent: (event) => heard.push(event) })
    expect(told.map(({ type }) => type)).toEqual(['starting', 'ready'])
    expect(told).toMatchObject([
      { runtime: rust, instance: 0 },
      { runtime: rust, instance: 0 },
    ])
    expect(heard).toMatchObject([{ type: 'starting' }, { type: 'ready' }])
    expect(told[0]?.runtimeId).toBe(told[1]?.runtimeId)
    await other.unload()
  })
})

/** What a guest's function does that tells its caller's trace, in a stream and outside. */
const traced = `
import polyloop

def seen():
    return polyloop.context()

async def seen_async():
    return polyloop.context()

def each(n):
    for _ in range(n):
        yield polyloop.context()
`

describe('spans', () => {
  const exporter = new InMemorySpanExporter()

  function register(sampler?: Sampler): void {
    const spanProcessors = [new SimpleSpanProcessor(exporter)]
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors, ...(sampler && { sampler }) }))
  }

  /** Another provider in the place of the one before. */
  function registerAnew(sampler?: Sampler): void {
    trace.disable()
    register(sampler)
  }

  let guest: Runtime
  let python: Runtime
  beforeAll(async () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    propagation.setGlobalPropagator(
      new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
    )
    guest = (await loadRust()) as unknown as Runtime
    python = await load(`python:${write(temporaryFolder(), 'traced.py', traced)}`, { placement })
  })
  afterEach(() => exporter.reset())
  afterAll(async () => {
    await Promise.all([guest.unload(), python.unload()])
    trace.disable()
    context.disable()
    propagation.disable()
  })

  const finished = (method: string): ReadableSpan[] =>
    exporter.getFinishedSpans().filter(({ attributes }) => attributes['rpc.method'] === method)

  /** The only span of a method. */
  function only(method: string): ReadableSpan {
    const spans = finished(method)
    expect(spans).toHaveLength(1)
    return spans[0] as ReadableSpan
  }

  /** Runs something in a span, which then is over. */
  async function within<T>(run: (span: Span) => Promise<T>): Promise<T> {
    return trace.getTracer('test').startActiveSpan('parent', async (span) => {
      try {
        return await run(span)
      } finally {
        span.end()
      }
    })
  }

  /** What a child of this span is told. */
  function traceparent(span: ReadableSpan): string {
    const { traceId, spanId, traceFlags } = span.spanContext()
    return `00-${traceId}-${spanId}-0${traceFlags}`
  }

  test('without a provider nothing is traced, and nothing travels; one that comes is found within 64 calls', async () => {
    expect(await guest.call('trace')).toEqual({})
    expect(exporter.getFinishedSpans()).toEqual([])
    register()
    let calls = 1
    while (Object.keys((await guest.call('trace')) as object).length === 0) calls++
    expect(calls).toBeLessThanOrEqual(64)
  })

  test('a call is a child of the active span, and its guest hears of it', async () => {
    const [parent, seen] = await within(async (span) => [span, await guest.call('trace')])
    const span = only('trace')
    expect(span.parentSpanContext?.spanId).toBe(parent.spanContext().spanId)
    expect(span.spanContext().traceId).toBe(parent.spanContext().traceId)
    expect(seen).toEqual({ traceparent: traceparent(span) })
    expect(span).toMatchObject({ name: `polyloop ${rust}/trace`, kind: SpanKind.CLIENT, status: { code: 0 } })
    expect(span.attributes).toEqual({ 'rpc.system': 'polyloop', 'rpc.service': rust, 'rpc.method': 'trace' })
  })

  test('a call without an active span begins a trace', async () => {
    expect(await guest.call('trace')).toEqual({ traceparent: traceparent(only('trace')) })
    expect(only('trace').parentSpanContext).toBeUndefined()
  })

  test.each(['seen', 'seen_async'])(
    'calls at the same time have the parents that they were made in: %s',
    async (name) => {
      const made = await Promise.all(
        Array.from({ length: 50 }, () =>
          within(async (span) => {
            const first = await python.call(name)
            return { parent: span.spanContext(), seen: [first, await python.call(name)] }
          }),
        ),
      )
      const spans = new Map(finished(name).map((span) => [traceparent(span), span]))
      expect(spans.size).toBe(100)
      for (const { parent, seen } of made) {
        for (const heard of seen as { traceparent: string }[]) {
          const span = spans.get(heard.traceparent)
          expect(span?.parentSpanContext?.spanId).toBe(parent.spanId)
          expect(span?.spanContext().traceId).toBe(parent.traceId)
        }
      }
    },
  )

  test('a stream is a child of the span that it was asked for in, and ends when it ends', async () => {
    const [parent, stream] = await within(async (span) => [span, { of: python.stream('each', [1000]) }])
    const first = await within(() => stream.of.next())
    expect(finished('each')).toEqual([])
    const items = [first.value, ...(await all(stream.of))]
    const span = only('each')
    expect(span.parentSpanContext?.spanId).toBe(parent.spanContext().spanId)
    expect(items).toEqual(Array.from({ length: 1000 }, () => ({ traceparent: traceparent(span) })))
  })

  test('calls with request streams, both ways too, and of bytes are spans', async () => {
    expect(await guest.call('total', [new Feed(numbers(4))])).toBe(6)
    const duplex = guest.duplex('upper')
    await duplex.write('a')
    duplex.end()
    expect(await all(duplex)).toEqual(['A'])
    await guest.send(Buffer.from('x'))
    expect([only('total'), only('upper'), only('handle')].map(({ status }) => status.code)).toEqual([0, 0, 0])
  })

  test('a call that fails is an error, with the exception', async () => {
    const error = await rejection(guest.call('fail', ['why']), 'guest-error')
    const span = only('fail')
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: error.message })
    expect(span.attributes).toMatchObject({
      'error.type': 'guest-error',
      'polyloop.guest.error.type': error.guest?.type,
    })
    expect(span.events).toMatchObject([{ name: 'exception', attributes: { 'exception.message': error.message } }])
  })

  test('so is a stream that fails, and a call that is refused', async () => {
    await rejection(all(guest.stream('fails_after', [3])), 'guest-error')
    await rejection(guest.call('nowhere'), 'not-found')
    await rejection(guest.stream('nowhere').next(), 'not-found')
    await rejection(guest.call('add', [Symbol('x')]), 'invalid-argument')
    const types = exporter.getFinishedSpans().map(({ attributes }) => attributes['error.type'])
    expect(types).toEqual(['guest-error', 'not-found', 'not-found', 'invalid-argument'])
  })

  test('a cancelled call, and one whose deadline passes, is marked', async () => {
    const controller = new AbortController()
    const call = guest.call('sleep_async', [60_000], { signal: controller.signal })
    controller.abort()
    await rejection(call, 'cancelled')
    await rejection(guest.call('sleep_async', [60_000], { deadline: Date.now() + 20 }), 'deadline')
    const spans = finished('sleep_async')
    expect(spans.map(({ attributes }) => [attributes['error.type'], attributes['polyloop.cancelled']])).toEqual([
      ['cancelled', true],
      ['deadline', true],
    ])
    expect(spans.every(({ status }) => status.code === SpanStatusCode.ERROR)).toBe(true)
  })

  test('a stream that its reader leaves is marked, and no error', async () => {
    for await (const _ of guest.stream('endless')) break
    expect(only('endless').attributes).toMatchObject({ 'polyloop.cancelled': true })
    expect(only('endless').status.code).toBe(SpanStatusCode.UNSET)
    expect(only('endless').events).toEqual([])
  })

  test("the caller's context travels beside the trace, and wins", async () => {
    const traceparentOfCaller = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const beside = await guest.call('trace', [], { context: { who: 'me' } })
    expect(beside).toEqual({ who: 'me', traceparent: traceparent(only('trace')) })
    const state = trace.setSpanContext(ROOT_CONTEXT, {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: 1,
      traceState: createTraceState('vendor=1'),
    })
    const own = { traceparent: traceparentOfCaller }
    expect(await context.with(state, () => guest.call('trace', [], { context: own }))).toEqual(own)
    expect(await context.with(state, () => guest.call('trace'))).toMatchObject({ tracestate: 'vendor=1' })
  })

  test('a trace never makes a context too long: baggage is left out first, then the trace', async () => {
    const baggage = propagation.createBaggage(
      Object.fromEntries(Array.from({ length: 3 }, (_, index) => [`key${index}`, { value: 'v'.repeat(1400) }])),
    )
    const loaded = propagation.setBaggage(ROOT_CONTEXT, baggage)
    const call = (own?: Record<string, string>): Promise<unknown> =>
      context.with(loaded, () => guest.call('trace', [], own && { context: own }))
    expect(await call()).toEqual({ traceparent: traceparent(only('trace')) })
    const full = { key: 'v'.repeat(4096 - '{"key":""}'.length) }
    expect(await call(full)).toEqual(full)
    await rejection(call({ key: 'v'.repeat(4096) }), 'too-large', '4096')
    await rejection(call('text' as unknown as Record<string, string>), 'invalid-argument', 'object of texts')
  })

  test('a span that is not sampled is none, and the guest hears that it is not', async () => {
    registerAnew(new AlwaysOffSampler())
    const { traceparent: heard } = (await guest.call('trace')) as { traceparent: string }
    expect(heard).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
    await rejection(guest.call('fail', ['why']), 'guest-error')
    expect(exporter.getFinishedSpans()).toEqual([])
    registerAnew()
  })

  test('where tracing is suppressed, or off, nothing travels', async () => {
    expect(await context.with(suppressTracing(context.active()), () => guest.call('trace'))).toEqual({})
    const off = (await loadRust({ tracing: false })) as unknown as Runtime
    expect(await within(() => off.call('trace'))).toEqual({})
    expect(await all(off.stream('count', [2]))).toEqual([0, 1])
    expect(finished('trace')).toEqual([])
    await off.unload()
  })

  test('a provider that comes late, and not where it was looked for, is found', async () => {
    trace.disable()
    expect(await guest.call('trace')).toEqual({})
    // As another copy of the API does it: what was looked at stays without a provider.
    registerAnew()
    await until(async () => Object.keys((await guest.call('trace')) as object).length > 0)
    expect(only('trace').parentSpanContext).toBeUndefined()
  })

  test('a sampler that throws costs the span, and not the call', async () => {
    const broken: Sampler = {
      shouldSample: () => {
        throw new Error('broken')
      },
    }
    registerAnew(broken)
    expect(await guest.call('trace')).toEqual({})
    registerAnew()
  })

  test('a processor that throws at the end of a span leaves the call alone', async () => {
    trace.disable()
    const processor = new SimpleSpanProcessor(exporter)
    processor.onEnd = () => {
      throw new Error('broken')
    }
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [processor] }))
    expect(await anyCall(guest, 'add', 1, 2)).toBe(3)
    await rejection(guest.call('fail', ['why']), 'guest-error')
    await until(() => guest.stats().inFlight === 0)
    registerAnew()
  })
})

describe('a program without the API', () => {
  test('is not traced, and not warned', async () => {
    const warned: Error[] = []
    const listener = (warning: Error): void => void warned.push(warning)
    process.on('warning', listener)
    onTestFinished(() => void process.off('warning', listener))
    // By Node.js, and by loaders that stand in for its own.
    for (const code of ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND']) {
      missing(Object.assign(new Error('Cannot find package'), { code }))
    }
    missing(new SyntaxError('Unexpected end of input'))
    await until(() => warned.length > 0)
    expect(warned).toMatchObject([{ name: 'PolyloopTracing', message: expect.stringContaining('Unexpected end') }])
  })

  test('calls its guests', async () => {
    // The package as it is built, where no package of this repository can be found.
    const folder = join(temporaryFolder(), 'polyloop')
    for (const part of ['dist', 'package.json']) {
      cpSync(inRoot(`hosts/node/${part}`), join(folder, part), { recursive: true })
    }
    symlinkSync(inRoot('hosts/node/native'), join(folder, 'native'))
    const main = join(folder, 'dist', 'index.js')
    expect(() => createRequire(main).resolve('@opentelemetry/api')).toThrow('Cannot find module')
    const source = `
      const found = await import('${pathToFileURL(main).href}')
      const guest = await found.load('${rust}')
      say(await guest.add(1, 2))
      say(await guest.call('trace'))
    `
    expect(await said(source)).toEqual([3, {}])
  })
})
