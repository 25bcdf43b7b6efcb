// SPDX-License-Identifier: Apache-2.0
// Spans of OpenTelemetry, through its API, if the application has it: https://opentelemetry.io/docs/specs/semconv/rpc
import type * as Api from '@opentelemetry/api'
import { callBack } from '../common/call-back.ts'
import { PolyloopError } from '../common/errors.ts'
import { reasonOf } from '../common/reasons.ts'

/** The API, once a runtime was loaded in a program that has it. */
let api: typeof Api | undefined
let loading: Promise<void> | undefined
/** Of the program's provider, or of what the API has before one is registered: a proxy without tracers of its own. */
let provider: Api.ProxyTracerProvider | undefined
let tracer: Api.Tracer | undefined
/** Calls until the API is asked again. That costs a look into the global object: too much for each call. */
let untilLook = 0
const lookEvery = 64

/** Looks for the API, once in each thread. Never rejects: a program without it is not traced. */
export function loadTracing(): Promise<void> {
  // For bundlers, which have to do without it, too: some go by the comments, some by the `catch`.
  loading ??= import(/* webpackIgnore: true */ /* @vite-ignore */ '@opentelemetry/api').catch(missing).then((found) => {
    api = found
  })
  return loading.then(look)
}

/** Why the API was not imported: one that is there and broken is worth a warning, but no failed load. */
export function missing(error: NodeJS.ErrnoException): undefined {
  const { code, message } = error
  // The second code is what other loaders of modules say: Jest's, say.
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') return
  process.emitWarning(`calls are not traced: @opentelemetry/api cannot be loaded: ${message}`, 'PolyloopTracing')
}

/** Whether spans go anywhere: the API is there, and the program has registered a provider. */
export function isTracing(): boolean {
  if (api === undefined) return false
  if (tracer !== undefined) return true
  if (--untilLook > 0) return false
  look()
  return tracer !== undefined
}

/** Asks for the provider, which may be another one: a program may register one late, or from a copy of the API. */
function look(): void {
  untilLook = lookEvery
  try {
    const current = api?.trace.getTracerProvider() as Api.ProxyTracerProvider | undefined
    if (current === provider && tracer !== undefined) return
    provider = current
    tracer = undefined
    tracer = current?.getDelegateTracer('polyloop')
  } catch (error) {
    report(error)
  }
}

/** What is active now, for a span that starts later; undefined if nothing is traced. */
export function activeContext(): unknown {
  if (!isTracing()) return undefined
  try {
    return api?.context.active()
  } catch (error) {
    report(error)
    return undefined
  }
}

/** How a call ended. */
export interface Ending {
  /** Why it was rejected. */
  readonly error: unknown
  /** Whether it was given up before its answer. */
  readonly cancelled: boolean
  /** Whether its reader left the stream early, which is nobody's mistake. */
  readonly left: boolean
}

/** The span of one call. */
export class Trace {
  /** What travels with the call, so that the guest's spans are children of this one. */
  readonly context: Readonly<Record<string, string>>
  readonly #span: Api.Span

  private constructor(span: Api.Span, context: Readonly<Record<string, string>>) {
    this.#span = span
    this.context = context
  }

  /**
   * Starts a span; undefined if it is not to be traced.
   *
   * @param parent - what {@link activeContext} returned; what is active now by default
   */
  static start(runtime: string, method: string, parent?: unknown): Trace | undefined {
    if (api === undefined) return undefined
    const { context, isSpanContextValid, propagation, SpanKind, trace } = api
    try {
      look()
      if (tracer === undefined) return undefined
      const active = (parent as Api.Context | undefined) ?? context.active()
      const attributes = { 'rpc.system': 'polyloop', 'rpc.service': runtime, 'rpc.method': method }
      const span = tracer.startSpan(`polyloop ${runtime}/${method}`, { kind: SpanKind.CLIENT, attributes }, active)
      // Tracing is suppressed here. A span that is not sampled is valid: the guest has to know that it is not.
      if (!isSpanContextValid(span.spanContext())) return undefined
      const carrier: Record<string, unknown> = {}
      propagation.inject(trace.setSpan(active, span), carrier)
      return new Trace(span, texts(carrier))
    } catch (error) {
      report(error)
      return undefined
    }
  }

  /** Ends the span of a call that has settled. */
  end(ending?: Ending): void {
    try {
      if (ending !== undefined && this.#span.isRecording()) this.#mark(ending)
      this.#span.end()
    } catch (error) {
      report(error)
    }
  }

  #mark({ error, cancelled, left }: Ending): void {
    const span = this.#span
    if (cancelled) span.setAttribute('polyloop.cancelled', true)
    if (left || api === undefined) return
    const message = reasonOf(error)
    span.setAttribute('error.type', error instanceof PolyloopError ? error.code : 'error')
    if (error instanceof PolyloopError && error.guest !== undefined) {
      span.setAttribute('polyloop.guest.error.type', error.guest.type)
    }
    span.setStatus({ code: api.SpanStatusCode.ERROR, message })
    span.recordException(error instanceof Error ? error : message)
  }
}

/** What a propagator has written, if it is what it should be. */
function texts(carrier: Readonly<Record<string, unknown>>): Record<string, string> {
  const entries = Object.entries(carrier).filter(([, value]) => typeof value === 'string')
  return Object.fromEntries(entries) as Record<string, string>
}

/**
 * What the program has put behind the API has thrown (a provider, a sampler, a processor, a propagator): a call does not
 * fail because of its span.
 */
function report(error: unknown): void {
  callBack(() => api?.diag.error('polyloop: a call is not traced', error))
}
