// SPDX-License-Identifier: Apache-2.0

import type { CallOptions } from '../call/call-options.ts'
import type { Duplex } from '../call/duplex.ts'
import type { Stream } from '../call/response-stream.ts'
import type { Method } from '../common/manifest.ts'
import type { ReloadOptions, UnloadOptions } from './limits.ts'
import type { RuntimeCore } from './runtime.ts'
import type { Stats } from './stats.ts'

/**
 * The guest's functions as local async functions: each returns a promise of what it returns, or, if it is described
 * as returning an AsyncIterable, a {@link Stream}.
 */
export type Methods<T> = {
  readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (
    ...args: infer A
  ) => infer R
    ? R extends AsyncIterable<infer Item>
      ? (...args: A) => Stream<Item>
      : (...args: A) => Promise<Awaited<R>>
    : never
}

/** A guest whose functions were not described: any name, any arguments. */
export type Untyped = Record<string, (...args: unknown[]) => unknown>

type FunctionName<T> = Extract<keyof Methods<T>, string>
type Argument<T, K extends keyof T> = T[K] extends (...args: infer A) => unknown ? A[0] : never
type Result<T, K extends keyof T> = T[K] extends (...args: never[]) => infer R ? Awaited<R> : never

type Item<T, K extends keyof T> = T[K] extends (...args: never[]) => AsyncIterable<infer I> ? I : Result<T, K>

/** What every runtime has beside the guest's own functions. */
export interface RuntimeHandle<T> extends AsyncDisposable {
  /**
   * Calls a function of the guest with one argument, or none.
   *
   * @param name - the function
   * @param argument - any value that the codec carries, or bytes
   * @throws not-found, invalid-argument, too-large, overloaded, deadline, cancelled, unloaded,
   * guest-error, guest-crashed, protocol: as a rejection, never at once
   */
  call<K extends FunctionName<T>>(name: K, argument?: Argument<T, K>, options?: CallOptions): Promise<Result<T, K>>
  /**
   * Calls a generator of the guest, with back-pressure. An async iterable as the argument is a request stream.
   *
   * @example
   * for await (const token of guest.stream('generate', { prompt })) process.stdout.write(token)
   * @throws as `call`, when the first item is asked for
   */
  stream<K extends FunctionName<T>>(name: K, argument?: Argument<T, K>, options?: CallOptions): Stream<Item<T, K>>
  /** Calls a function that streams both ways: write its request stream, and read its response stream. */
  duplex<K extends FunctionName<T>>(name: K, options?: CallOptions): Duplex<unknown, Item<T, K>>
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
   * Lets calls in flight finish, refuses new ones with `unloaded`, and ends the guest. May be called again, also with a
   * timeout after the first time.
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

/** The handle of a runtime that has started. */
export function toHandle<T>(core: RuntimeCore): Runtime<T> {
  const own: Omit<RuntimeHandle<Untyped>, 'methods' | 'info'> = {
    call: (name, ...rest) =>
      rest[0] === undefined ? core.call(name, [], rest[1]) : core.call(name, [rest[0]], rest[1]),
    stream: (name, ...rest) => core.stream(name, rest[0] === undefined ? [] : [rest[0]], rest[1]),
    duplex: (name, options) => core.duplex(name, [], options),
    send: (bytes, options) => core.send(bytes, options) as Promise<Buffer>,
    alloc: (bytes) => core.alloc(bytes),
    stats: () => core.stats(),
    reload: (options) => core.reload(options),
    unload: (options) => core.unload(options),
    [Symbol.asyncDispose]: () => core.unload(),
  }
  const runtime = Object.assign(Object.create(missing(core)) as object, own)
  // A reload may change them.
  Object.defineProperty(runtime, 'methods', { get: () => core.methods, enumerable: true })
  Object.defineProperty(runtime, 'info', { get: () => core.manifest?.info ?? {}, enumerable: true })
  for (const { name, stream } of core.methods) {
    if (Object.hasOwn(runtime, name) || foreign.has(name)) continue
    const method = (...args: unknown[]): unknown => (stream === true ? core.stream(name, args) : core.call(name, args))
    Object.defineProperty(runtime, name, { value: method, enumerable: true })
  }
  return Object.freeze(runtime) as unknown as Runtime<T>
}

/** Answers a function that the guest does not have with a rejection that names those it has. */
function missing(core: RuntimeCore): object {
  return new Proxy(Object.create(null) as object, {
    get: (_, name) => {
      if (typeof name === 'symbol') return undefined
      if (foreign.has(name) || /^[_$@]/.test(name)) return ofObjects.get(name)
      return (...args: unknown[]) => core.call(name, args)
    },
  })
}
