// SPDX-License-Identifier: Apache-2.0

import type { CallOptions } from '../call/call-options.ts'
import { type Duplex, DuplexCall } from '../call/duplex.ts'
import { ResponseStream, type Stream } from '../call/response-stream.ts'
import { PolyloopError } from '../common/errors.ts'
import type { Method } from '../common/manifest.ts'
import { reasonOf } from '../common/reasons.ts'
import type { ReloadOptions, UnloadOptions } from './limits.ts'
import type { RuntimeCore } from './runtime.ts'
import type { Stats } from './stats.ts'

/** What can be iterated and is a value all the same. */
type Value = string | readonly unknown[] | ArrayBufferView | ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>

/** The items of what a function returns that answers with a stream; otherwise never. */
type ItemsOf<R> = R extends Value ? never : R extends AsyncIterable<infer I> | Iterable<infer I> ? I : never

type Answer<R> = [ItemsOf<R>] extends [never] ? Promise<Awaited<R>> : Stream<ItemsOf<R>>

/**
 * The guest's functions as local async functions: each returns a promise of what it returns, or, if it is described
 * as returning an AsyncIterable, an Iterable or a Generator, a {@link Stream}.
 */
export type Methods<T> = {
  readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (
    ...args: infer A
  ) => infer R
    ? (...args: A) => Answer<R>
    : never
}

/** A guest whose functions were not described: any name, any arguments. */
export type Untyped = Record<string, (...args: unknown[]) => unknown>

type FunctionName<T> = Extract<keyof Methods<T>, string>
type Arguments<T, K extends keyof T> = T[K] extends (...args: infer A) => unknown ? Readonly<A> : never
type Result<T, K extends keyof T> = T[K] extends (...args: never[]) => infer R ? Awaited<R> : never
type Item<T, K extends keyof T> = T[K] extends (...args: never[]) => infer R
  ? [ItemsOf<R>] extends [never]
    ? Awaited<R>
    : ItemsOf<R>
  : never

/** Calls of a guest with options of their own, see `with`. */
export type Bound<T> = Methods<T> & {
  call<K extends FunctionName<T>>(name: K, args?: Arguments<T, K>): Promise<Result<T, K>>
  stream<K extends FunctionName<T>>(name: K, args?: Arguments<T, K>): Stream<Item<T, K>>
  duplex<K extends FunctionName<T>>(name: K, args?: readonly unknown[]): Duplex<unknown, Item<T, K>>
  send(bytes: Uint8Array | ArrayBuffer | ArrayBufferView): Promise<Buffer>
  with(options: CallOptions): Bound<T>
}

/** What every runtime has beside the guest's own functions. */
export interface RuntimeHandle<T> extends AsyncDisposable {
  /**
   * The same guest, for calls with options: `guest.with({ timeout: 50 }).add(1, 2)`. Cheap enough for each call; what it
   * returns may be kept.
   *
   * @throws invalid-argument if they are no options of calls: as a rejection of the call
   */
  with(options: CallOptions): Bound<T>
  /**
   * Calls a function of the guest by its name, whatever that is.
   *
   * @param name - the function
   * @param args - its arguments, any that the codec carries: `guest.call('add', [1, 2])`. One that is an async iterable, or
   * an iterator, and the last, is a request stream
   * @throws not-found, invalid-argument, too-large, overloaded, deadline, cancelled, unloaded,
   * guest-error, guest-crashed, protocol: as a rejection, never at once
   */
  call<K extends FunctionName<T>>(name: K, args?: Arguments<T, K>, options?: CallOptions): Promise<Result<T, K>>
  /**
   * Calls a generator of the guest, with back-pressure.
   *
   * @example
   * for await (const token of guest.stream('generate', [{ prompt }])) process.stdout.write(token)
   * @throws as `call`, when the first item is asked for
   */
  stream<K extends FunctionName<T>>(name: K, args?: Arguments<T, K>, options?: CallOptions): Stream<Item<T, K>>
  /** Calls a function that streams both ways: write its request stream, its last argument, and read its response stream. */
  duplex<K extends FunctionName<T>>(
    name: K,
    args?: readonly unknown[],
    options?: CallOptions,
  ): Duplex<unknown, Item<T, K>>
  /** Sends bytes to the guest's function `handle` and returns the bytes, or the value, that it answers with. */
  send(bytes: Uint8Array | ArrayBuffer | ArrayBufferView, options?: CallOptions): Promise<Buffer>
  /**
   * Memory for a request, or an item of a request stream, of more than 4 KB: the guest reads what is written there
   * without a copy, wherever it runs. Its bytes are not cleared, as those of `Buffer.allocUnsafe`. Leave them alone
   * while a call is under way; afterwards they may be sent again, to whatever instance there is then. Another runtime
   * gets a copy, as of any bytes.
   *
   * @param bytes - at most `maxPayload`
   * @throws invalid-argument, too-large, overloaded: at once
   */
  alloc(bytes: number): Buffer
  /** Counters since the load. */
  stats(): Stats
  /**
   * Loads the guest's code again: new calls go to the new code, calls in flight finish on the old. If the guest is
   * shared, other hosts are told, and their new calls follow. A guest that was given up is started again.
   *
   * @throws init-failed, and what else `load` throws, if the new code does not start: then the old one goes on
   */
  reload(options?: ReloadOptions): Promise<void>
  /**
   * Refuses new calls of this handle with `unloaded`. The last handle of a runtime, each `load` gives one, lets calls in
   * flight finish, and ends the guest. May be called again, also with a timeout after the first time.
   *
   * @throws deadline if a guest on threads has not ended within the timeout: threads cannot be ended
   */
  unload(options?: UnloadOptions): Promise<void>
  /** The functions that the guest declares now. */
  readonly methods: readonly Method[]
  /** What the guest tells of itself, such as its language's version. */
  readonly info: Readonly<Record<string, unknown>>
}

/** A loaded guest. */
export type Runtime<T = Untyped> = RuntimeHandle<T> & Methods<T>

/** What every object of the language has, as `hasOwnProperty` and `toString`. */
const ofObjects: ReadonlyMap<string, unknown> = new Map(
  Object.entries(Object.getOwnPropertyDescriptors(Object.prototype))
    .filter(([name]) => name !== 'constructor' && !name.startsWith('_'))
    .map(([name, { value }]) => [name, value]),
)

/**
 * Asked for by the language, by promises and by inspecting tools: not functions of a guest. What a guest has by such a
 * name is called by `call`.
 */
const foreign = new Set([
  ...Object.getOwnPropertyNames(Object.prototype),
  'then',
  'toJSON',
  'inspect',
  'nodeType',
  'asymmetricMatch',
])

/** One `load` of a runtime: the guest ends with the last of them. */
export interface Lease {
  /** Why calls through this one are refused; undefined while they are not. */
  refusal(): PolyloopError | undefined
  unload(options?: UnloadOptions): Promise<void>
}

/** A handle of a runtime that has started, for one who has loaded it. */
export function toHandle<T>(core: RuntimeCore, lease: Lease): Runtime<T> {
  const calls = new Calls(core, lease)
  const own: Omit<RuntimeHandle<Untyped>, 'methods' | 'info'> = {
    with: (options) => bound(calls, options) as Bound<Untyped>,
    call: (name, args, options) => calls.call(name, args, options),
    stream: (name, args, options) => calls.stream(name, args, options),
    duplex: (name, args, options) => calls.duplex(name, args, options),
    send: (bytes, options) => calls.send(bytes, options),
    alloc: (bytes) => core.alloc(bytes),
    stats: () => core.stats(),
    reload: (options) => core.reload(options),
    unload: (options) => lease.unload(options),
    [Symbol.asyncDispose]: () => lease.unload(),
  }
  const runtime = Object.assign(Object.create(later(calls)) as object, own)
  // A reload may change them.
  Object.defineProperty(runtime, 'methods', { get: () => core.methods, enumerable: true })
  Object.defineProperty(runtime, 'info', { get: () => core.manifest?.info ?? {}, enumerable: true })
  const hidden: string[] = []
  for (const { name } of core.methods) {
    if (Object.hasOwn(runtime, name) || foreign.has(name)) hidden.push(name)
    else Object.defineProperty(runtime, name, { value: calls.method(name), enumerable: true })
  }
  if (hidden.length > 0) tellHidden(core.name, hidden)
  return Object.freeze(runtime) as unknown as Runtime<T>
}

/** Functions that were told already, by the runtime's name. */
const told = new Set<string>()

function tellHidden(name: string, hidden: readonly string[]): void {
  const message = `${name} has functions that a handle has, too, or every object: call them as call('${hidden[0]}', [...])`
  const all = `${message}: ${hidden.join(', ')}`
  if (told.has(all)) return
  told.add(all)
  process.emitWarning(all, 'PolyloopGuest')
}

/** What a handle calls. */
class Calls {
  readonly #core: RuntimeCore
  readonly #lease: Lease

  constructor(core: RuntimeCore, lease: Lease) {
    this.#core = core
    this.#lease = lease
  }

  has(name: string | symbol): name is string {
    return typeof name === 'string' && this.#core.manifest?.number(name) !== undefined
  }

  /** A function of the guest, as one of the handle. */
  method(name: string, options?: CallOptions): (...args: unknown[]) => unknown {
    const isStream = this.#core.methods[this.#core.manifest?.number(name) ?? -1]?.stream === true
    return isStream ? (...args) => this.stream(name, args, options) : (...args) => this.call(name, args, options)
  }

  call(name: string, args: unknown, options: CallOptions | undefined): Promise<unknown> {
    const refusal = this.#lease.refusal() ?? notList('call', name, args)
    return refusal === undefined ? this.#core.call(name, toList(args), options) : Promise.reject(refusal)
  }

  stream(name: string, args: unknown, options: CallOptions | undefined): Stream<never> {
    const refusal = this.#lease.refusal() ?? notList('stream', name, args)
    const stream =
      refusal === undefined ? this.#core.stream(name, toList(args), options) : new ResponseStream(refused(refusal))
    return stream as Stream<never>
  }

  duplex(name: string, args: unknown, options: CallOptions | undefined): Duplex<unknown, never> {
    const refusal = this.#lease.refusal() ?? notList('duplex', name, args)
    const call =
      refusal === undefined ? this.#core.duplex(name, toList(args), options) : new DuplexCall(refused(refusal))
    return call as Duplex<unknown, never>
  }

  send(bytes: unknown, options: CallOptions | undefined): Promise<Buffer> {
    const refusal = this.#lease.refusal()
    return refusal === undefined ? (this.#core.send(bytes, options) as Promise<Buffer>) : Promise.reject(refusal)
  }
}

/** What opens a stream that is not to be. */
function refused(refusal: PolyloopError): () => never {
  return () => {
    throw refusal
  }
}

function toList(args: unknown): readonly unknown[] {
  return (args ?? []) as readonly unknown[]
}

function notList(what: string, name: string, args: unknown): PolyloopError | undefined {
  if (args === undefined || Array.isArray(args)) return undefined
  const message = `the arguments of ${what} are not an array: ${what}('${reasonOf(name)}', [argument])`
  return new PolyloopError('invalid-argument', message)
}

/** The functions of the guest with options, whatever a reload makes of them. */
function bound(calls: Calls, options: CallOptions): object {
  const own: Readonly<Record<string, unknown>> = {
    call: (name: string, args: unknown) => calls.call(name, args, options),
    stream: (name: string, args: unknown) => calls.stream(name, args, options),
    duplex: (name: string, args: unknown) => calls.duplex(name, args, options),
    send: (bytes: unknown) => calls.send(bytes, options),
    with: (more: CallOptions) => bound(calls, { ...options, ...more }),
  }
  return new Proxy(own, {
    get: (_, name) => {
      if (Object.hasOwn(own, name)) return own[name as string]
      if (foreign.has(name as string) || !calls.has(name)) return ofObjects.get(name as string)
      return calls.method(name, options)
    },
    has: (_, name) => Object.hasOwn(own, name) || calls.has(name),
  })
}

/** The functions that the guest has only since a reload. */
function later(calls: Calls): object {
  return new Proxy(Object.create(null) as object, {
    get: (_, name) => {
      if (foreign.has(name as string) || !calls.has(name)) return ofObjects.get(name as string)
      return calls.method(name)
    },
    has: (_, name) => !foreign.has(name as string) && calls.has(name),
  })
}
