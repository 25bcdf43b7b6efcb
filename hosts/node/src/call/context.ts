// SPDX-License-Identifier: Apache-2.0
import { readFrom } from '../common/call-back.ts'
import { PolyloopError } from '../common/errors.ts'

/** Small texts that travel with a call. */
export type Context = Readonly<Record<string, string>>
export type ContextListener = (context: Context) => void

/** The longest context, in bytes of JSON: the place of a request. */
const longestContext = 4096

/** A context as it travels, if it is not too long. What is undefined in it does not. */
function toBytes(context: Readonly<Record<string, string | undefined>>): Uint8Array | undefined {
  const bytes = Buffer.from(JSON.stringify(context))
  return bytes.length <= longestContext ? bytes : undefined
}

/** A context with a trace beside it. No call fails because of its trace: what is too long of it is left out. */
export function beside(context: Context | undefined, trace: Context): Uint8Array | undefined {
  return toBytes(join(trace, context)) ?? toBytes(join({ ...trace, baggage: undefined }, context))
}

function join<T extends Readonly<Record<string, string | undefined>>>(trace: T, context: Context | undefined): T {
  if (context === undefined) return trace
  // The state of a trace belongs to its parent: to the caller's, if there is one.
  return context.traceparent === undefined ? { ...trace, ...context } : { ...trace, tracestate: undefined, ...context }
}

/**
 * Writes a context down.
 *
 * @param trace - what travels beside it
 * @throws invalid-argument if it is not an object of texts; too-large if it is too long
 */
export function encodeContext(context: Context | undefined, trace: Context | undefined): Uint8Array | undefined {
  if (context === undefined) return trace === undefined ? undefined : beside(undefined, trace)
  const texts = toTexts(context)
  const bytes = (trace === undefined ? undefined : beside(texts, trace)) ?? toBytes(texts)
  if (bytes !== undefined) return bytes
  const length = Buffer.byteLength(JSON.stringify(texts))
  const message = `the context has ${length} bytes of JSON and may have ${longestContext}: send less`
  throw new PolyloopError('too-large', message)
}

/** A copy: what was looked at is what is written. */
function toTexts(context: unknown): Context {
  if (typeof context === 'object' && context !== null) {
    const texts = readFrom('context', () => Object.entries(context))
    if (texts.every(([, text]) => typeof text === 'string')) return Object.fromEntries(texts) as Context
  }
  throw new PolyloopError('invalid-argument', "context is not an object of texts: pass { name: 'value' }")
}
