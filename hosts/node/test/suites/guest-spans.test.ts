// SPDX-License-Identifier: Apache-2.0
// Spans that a Python guest begins, with OpenTelemetry's SDK there and here: nothing ties them but the call.
import { context, propagation, type Span, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Runtime } from '../../src/runtime/handle.ts'
import { load } from '../../src/runtime/load.ts'
import { temporaryFolder, venvWith, write } from '../support/folders.ts'
import { anyCall, placement } from '../support/guests.ts'
import { all, Feed, method, numbers } from '../support/streams.ts'

const source = `
import asyncio

from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

_exporter = InMemorySpanExporter()
_provider = TracerProvider()
_provider.add_span_processor(SimpleSpanProcessor(_exporter))
_tracer = _provider.get_tracer("guest")

def _span(label):
    with _tracer.start_as_current_span("work", attributes={"label": label}):
        pass

def work(label):
    _span(label)

async def work_later(label):
    await asyncio.sleep(0)
    _span(label)
    await asyncio.gather(_deeper(label), _deeper(label))

async def _deeper(label):
    _span(label)

def each(label, n):
    for number in range(n):
        _span(label)
        yield number

async def each_later(label, n):
    for number in range(n):
        await asyncio.sleep(0)
        _span(label)
        yield number

def every(label, numbers):
    for _ in numbers:
        _span(label)

async def every_later(label, numbers):
    async for _ in numbers:
        _span(label)

def hands_over(label):
    return each_later(label, 3)

def baggage_seen():
    return dict(baggage.get_all())

def finished():
    spans = [
        {
            "label": span.attributes["label"],
            "trace": trace.format_trace_id(span.context.trace_id),
            "parent": span.parent and trace.format_span_id(span.parent.span_id),
        }
        for span in _exporter.get_finished_spans()
    ]
    _exporter.clear()
    return spans
`

interface GuestSpan {
  readonly label: string
  readonly trace: string
  readonly parent: string | null
}

const exporter = new InMemorySpanExporter()
let guest: Runtime
let untraced: Runtime

beforeAll(async () => {
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const propagators = [new W3CTraceContextPropagator(), new W3CBaggagePropagator()]
  propagation.setGlobalPropagator(new CompositePropagator({ propagators }))
  const locator = `python:${write(temporaryFolder(), 'spans.py', source)}`
  const venv = venvWith('opentelemetry-sdk')
  guest = await load(locator, { placement, venv })
  untraced = await load(locator, { placement, venv, tracing: false, config: 'another' })
})

beforeEach(async () => {
  await Promise.all([guest.call('finished'), untraced.call('finished')])
  exporter.reset()
})

afterAll(async () => {
  await Promise.all([guest.unload(), untraced.unload()])
  trace.disable()
  context.disable()
  propagation.disable()
})

const finished = async (of = guest): Promise<GuestSpan[]> => (await of.call('finished')) as GuestSpan[]

/** The span of a call that a span of this host's is the parent of. */
function callIn(parent: Span, method: string): ReadableSpan {
  const { spanId } = parent.spanContext()
  const spans = exporter.getFinishedSpans().filter(({ parentSpanContext }) => parentSpanContext?.spanId === spanId)
  expect(spans.map(({ attributes }) => attributes['rpc.method'])).toEqual([method])
  return spans[0] as ReadableSpan
}

/** Runs something in a span, which then is over. */
function within<T>(run: () => Promise<T>): Promise<Span> {
  return trace.getTracer('test').startActiveSpan('parent', async (span) => {
    await run()
    span.end()
    return span
  })
}

const calls: [method: string, call: (label: string) => Promise<unknown>, spans: number][] = [
  ['work', (label) => guest.call('work', [label]), 1],
  ['work_later', (label) => guest.call('work_later', [label]), 3],
  ['each', (label) => all(method(guest, 'each', label, 3)), 3],
  ['each_later', (label) => all(method(guest, 'each_later', label, 3)), 3],
  ['hands_over', (label) => all(guest.stream('hands_over', [label])), 3],
  ['every', (label) => anyCall(guest, 'every', label, new Feed(numbers(3))), 3],
  ['every_later', (label) => anyCall(guest, 'every_later', label, new Feed(numbers(3))), 3],
]

test.each(calls)("spans of %s are children of the call's, of many at the same time", async (method, call, count) => {
  const labels = Array.from({ length: 30 }, (_, index) => `${method} ${index}`)
  const parents = await Promise.all(labels.map((label) => within(() => call(label))))
  const spans = await finished()
  expect(spans).toHaveLength(labels.length * count)
  for (const [index, label] of labels.entries()) {
    const { traceId, spanId } = callIn(parents[index] as Span, method).spanContext()
    const own = { label, trace: traceId, parent: spanId }
    expect(spans.filter((span) => span.label === label)).toEqual(Array.from({ length: count }, () => own))
  }
})

test.each([
  ['work', 1],
  ['work_later', 3],
])('a call without a trace begins one, whatever ran before: %s', async (name, count) => {
  const parent = await within(() => guest.call(name, ['traced']))
  await within(() => untraced.call(name, ['untraced']))
  expect(await finished()).toContainEqual(
    expect.objectContaining({ parent: callIn(parent, name).spanContext().spanId }),
  )
  expect((await finished(untraced)).map(({ parent }) => parent)).toEqual(Array.from({ length: count }, () => null))
})

test("the caller's baggage goes along", async () => {
  const baggage = propagation.createBaggage({ customer: { value: 'größe 7' } })
  const seen = await context.with(propagation.setBaggage(context.active(), baggage), () => guest.call('baggage_seen'))
  expect(seen).toEqual({ customer: 'größe 7' })
  expect(await guest.call('baggage_seen')).toEqual({})
})

test('a trace that cannot be read costs no call', async () => {
  const own = { traceparent: 'no trace', tracestate: '=', baggage: ';;' }
  for (const name of ['work', 'work_later']) await guest.call(name, ['alone'], { context: own })
  expect((await finished()).map(({ parent }) => parent)).toEqual([null, null, null, null])
})

test.each(['', 'warnings.simplefilter("error")'])(
  'a propagator that fails costs the trace, and no call: %s',
  async (more) => {
    const broken = `
import warnings
from opentelemetry import propagate, trace

class Broken:
    def extract(self, carrier, context=None, getter=None):
        raise KeyError("broken")

propagate.set_global_textmap(Broken())
${more}

def traced():
    return trace.get_current_span().get_span_context().is_valid

async def traced_later():
    return traced()

def traced_each():
    yield traced()
`
    const told: string[] = []
    const venv = venvWith('opentelemetry-sdk')
    const options = { placement: 'process', venv, log: (text: string) => told.push(text) } as const
    const other = await load(`python:${write(temporaryFolder(), 'broken.py', broken)}`, options)
    await within(async () => {
      expect(await other.call('traced')).toBe(false)
      expect(await other.call('traced_later')).toBe(false)
      expect(await all(other.stream('traced_each'))).toEqual([false])
    })
    await other.unload()
    const warned =
      more === '' ? [expect.stringContaining("RuntimeWarning: the caller's trace ends here: KeyError('broken')")] : []
    expect(told.filter((text) => text.includes('Warning'))).toEqual(warned)
  },
)
