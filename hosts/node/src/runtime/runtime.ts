// SPDX-License-Identifier: Apache-2.0

import { begin, Call, type CallExtras } from '../call/call.ts'
import { type CallOptions, limit, withTimeout } from '../call/call-options.ts'
import { Dispatcher } from '../call/dispatcher.ts'
import { DuplexCall } from '../call/duplex.ts'
import { isStream, RequestStream, toAsync } from '../call/request-stream.ts'
import { ResponseStream, type Source } from '../call/response-stream.ts'
import { isAborted } from '../common/abort.ts'
import { callBack } from '../common/call-back.ts'
import { byPosition, type Encoded, encodeArguments, toBytes } from '../common/codec.ts'
import { type Deferred, deferred } from '../common/deferred.ts'
import { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import { flag } from '../common/layout.ts'
import type { Manifest, Method } from '../common/manifest.ts'
import type { Settings } from '../common/options.ts'
import { tooLarge } from '../common/payload.ts'
import { reasonOf, toPolyloop } from '../common/reasons.ts'
import type { OwnCode } from '../instances/code-tree.ts'
import { CodeWatcher } from '../instances/code-watcher.ts'
import { Supervisor } from '../instances/supervisor.ts'
import { nextId } from '../native/hub.ts'
import { holdForCalls } from '../native/keep-alive.ts'
import { Counters } from '../observe/counters.ts'
import { instanceEvents, type Observer, observe } from '../observe/diagnostics.ts'
import { activeContext } from '../observe/tracing.ts'
import { RequestHeap } from '../ring/request-heap.ts'
import {
  cancelled,
  type ReloadOptions,
  reloadPatience,
  type Starting,
  startWithin,
  type UnloadOptions,
  unloadTimeout,
} from './limits.ts'
import { type Stats, statsOf } from './stats.ts'

/** Functions that are named in the message of one that the guest does not have. */
const shownNames = 100

/** A runtime behind its handle: what its calls go through before an instance has them. */
export class RuntimeCore implements Starting {
  /** Callers of `load` that wait for it to start. */
  waiters = 0
  readonly id: number = nextId()
  readonly name: string
  readonly dispatcher: Dispatcher
  /** Memory beside the rings that requests are read in. */
  readonly requests: RequestHeap
  readonly supervisor: Supervisor
  readonly settings: Settings
  #state: 'open' | 'unloading' | 'unloaded' = 'open'
  #unloading: Promise<void> | undefined
  readonly #closed: Deferred<void> = deferred()
  /** Rejects when the guest is not waited for any more. */
  readonly #overdue: Deferred<never> = deferred()
  #lastStats: Stats | undefined
  /** Of those who have loaded it. */
  readonly #listeners = new Set<(event: RuntimeEvent) => void>()

  /** Why it cannot be reloaded, if so. */
  readonly #cannotReload: string | undefined

  constructor(name: string, settings: Settings, cannotReload?: string) {
    this.#cannotReload = cannotReload
    this.name = name
    this.settings = settings
    this.dispatcher = new Dispatcher(settings, new Counters(settings.sample))
    this.requests = new RequestHeap(this.id)
    const onEvent = instanceEvents(name, this.id, (event) => this.#told(event))
    this.supervisor = new Supervisor(name, { ...settings, onEvent }, this.dispatcher, this.requests)
    // It may come before anybody waits for the end.
    this.#overdue.promise.catch(() => {})
  }

  /** Has a listener told what happens to the guest; returns what ends that. */
  listen(listener: Settings['onEvent']): () => void {
    if (listener === undefined) return () => {}
    const own = (event: RuntimeEvent): void => listener(event)
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  #told(event: RuntimeEvent): void {
    for (const listener of [...this.#listeners]) callBack(() => listener(event))
  }

  get manifest(): Manifest | undefined {
    return this.supervisor.manifest
  }

  get methods(): readonly Method[] {
    return this.manifest?.methods ?? []
  }

  /** Resolves when it is unloaded. */
  get closed(): Promise<void> {
    return this.#closed.promise
  }

  /** Whether no call is in flight, and none waits. */
  get isIdle(): boolean {
    return this.dispatcher.isIdle
  }

  /** Whether it takes calls, or will. */
  get open(): boolean {
    return this.#state === 'open' && this.supervisor.failure === undefined
  }

  /** Calls a method with its arguments by position. */
  call(name: string, args: readonly unknown[], options?: CallOptions): Promise<unknown> {
    // STOP 1 call
    const observer = observe(this, name, false)
    const method = this.manifest?.number(name)
    if (method === undefined) return this.#refuse(this.#missing(name), observer)
    const extras = observer === undefined ? undefined : { observer }
    try {
      if (args.length > 0 && isStream(args[args.length - 1])) return this.#feed(method, args, options, extras).promise
      return this.#submit(method, this.#encode(method, args), options, extras).promise
    } catch (error) {
      return this.#refuse(error, observer)
    }
  }

  /** A call that was never sent. */
  #refuse(thrown: unknown, observer: Observer | undefined): Promise<never> {
    const error = toPolyloop(thrown, 'the call cannot be made', 'invalid-argument')
    this.dispatcher.counters.fail(error.code)
    observer?.failed(error)
    return Promise.reject(error)
  }

  /** Calls a method that answers with a stream; a stream as the last argument is a request stream. */
  stream(name: string, args: readonly unknown[], options?: CallOptions): ResponseStream {
    const parent = this.#parent()
    return new ResponseStream((responseStream) => this.#open(name, args, options, responseStream, parent))
  }

  /** Calls a method that streams both ways. */
  duplex(name: string, args: readonly unknown[], options?: CallOptions): DuplexCall {
    const parent = this.#parent()
    return new DuplexCall((responseStream, requestStream) =>
      this.#open(name, [...args, requestStream], options, responseStream, parent),
    )
  }

  /** What is active when a stream is asked for: whoever reads it first may be somebody else. */
  #parent(): unknown {
    return this.settings.tracing ? activeContext() : undefined
  }

  #open(
    name: string,
    args: readonly unknown[],
    options: CallOptions | undefined,
    responseStream: ResponseStream,
    parent: unknown,
  ): Source {
    const observer = observe(this, name, true, parent)
    try {
      const method = this.manifest?.number(name)
      if (method === undefined) throw this.#missing(name)
      return this.#read(this.#feed(method, args, options, { responseStream, observer }), responseStream, observer)
    } catch (thrown) {
      const error = toPolyloop(thrown, 'the call cannot be made', 'invalid-argument')
      observer?.failed(error)
      throw error
    }
  }

  /** Hands what comes of a call to the reader of its stream. */
  #read(call: Call, responseStream: ResponseStream, observer: Observer | undefined): Source {
    call.promise.then(
      (value) => {
        // A guest that knows no streams answers with a value.
        if (value !== undefined) responseStream.push(value, 0)
        responseStream.finish()
      },
      (error) => responseStream.fail(error),
    )
    return {
      credit: (items, bytes) => call.at?.credit(call, items, bytes),
      abandon: (error) => {
        observer?.left()
        call.abandon(error)
      },
    }
  }

  #encode(method: number, args: readonly unknown[]): Encoded {
    const { encoding } = this.settings
    const { reads = 'json', takesKeywords = false, methods = [] } = this.manifest ?? {}
    const takesNames = takesKeywords && encoding.carries === 'text'
    return encodeArguments(encoding, takesNames ? args : byPosition(args, methods[method]), reads)
  }

  /** Submits a call with a response stream, a request stream (the last argument, if it is one), or both. */
  #feed(
    method: number,
    args: readonly unknown[],
    options: CallOptions | undefined,
    extras: CallExtras | undefined,
  ): Call {
    const last = args[args.length - 1]
    const streams = isStream(last)
    const encoded = this.#encode(method, streams ? args.slice(0, -1) : args)
    if (!streams) return this.#submit(method, encoded, options, extras)
    const requestStream = new RequestStream(
      toAsync(last),
      (value) => this.#encode(method, [value]),
      (error) => call.abandon(error),
    )
    const call: Call = this.#submit(method, encoded, options, { ...extras, requestStream })
    return call
  }

  /** Sends bytes to the method `handle`, or to a guest without a manifest of methods. */
  send(bytes: unknown, options?: CallOptions): Promise<unknown> {
    const observer = observe(this, 'handle', false)
    const handle = this.manifest?.handle
    if (handle === undefined) return this.#refuse(this.#missing('handle'), observer)
    const extras = observer === undefined ? undefined : { observer }
    try {
      return this.#submit(handle, { flags: flag.bytes, payload: toBytes(bytes) }, options, extras).promise
    } catch (error) {
      return this.#refuse(error, observer)
    }
  }

  /**
   * Memory for a request.
   *
   * @throws invalid-argument, too-large, overloaded
   */
  alloc(bytes: number): Buffer {
    const { maxPayload } = this.settings
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new PolyloopError('invalid-argument', 'alloc takes a number of bytes, 0 or more: alloc(1_000_000)')
    }
    if (bytes > maxPayload) throw tooLarge(bytes, maxPayload)
    return this.requests.alloc(bytes)
  }

  #submit(
    method: number,
    { flags, payload }: Encoded,
    options: CallOptions | undefined,
    extras: CallExtras | undefined,
  ): Call {
    if (!this.open) throw this.#refusal()
    const { counters } = this.dispatcher
    const timed = counters.isDue()
    const all = flags | flagsOf(extras) | (timed ? flag.timed : 0)
    const call = new Call(method, all, payload, timed, extras, this.manifest)
    if (timed) counters.begin(call)
    if (extras?.observer !== undefined) begin(call, extras.observer)
    const limits = withTimeout(options, this.settings.callTimeout)
    if (limits !== undefined) limit(call, limits)
    try {
      this.dispatcher.run(call)
    } catch (error) {
      // Refused: nobody has its promise, so its signal and timer must not reject it.
      call.release?.()
      throw error
    }
    holdForCalls()
    return call
  }

  #refusal(): PolyloopError {
    return this.supervisor.failure?.() ?? this.supervisor.unloaded()
  }

  #missing(name: string): PolyloopError {
    const names = this.methods.slice(0, shownNames).map((method) => method.name)
    const more = this.methods.length - names.length
    const all = `it has ${names.join(', ')}${more === 0 ? '' : ` and ${more} more`}`
    const known = names.length === 0 ? 'it declares no functions: use send()' : all
    return new PolyloopError('not-found', `${this.name} has no function '${reasonOf(name)}': ${known}`)
  }

  /** Loads the guest's code again. */
  async reload(options?: ReloadOptions): Promise<void> {
    const patience = reloadPatience(options)
    // A guest that was given up is tried once more.
    if (this.#state !== 'open') throw this.#refusal()
    if (this.#cannotReload !== undefined) throw new PolyloopError('invalid-argument', this.#cannotReload)
    if (patience.signal !== undefined && isAborted(patience.signal)) throw cancelled(this.name, patience)
    // RELOAD 1 ask
    try {
      const round = this.supervisor.rollout.reload()
      await startWithin(round.outcome, round, patience)
    } catch (error) {
      throw toPolyloop(error, `${this.name} could not be reloaded`)
    }
  }

  /** Loads the guest's code again whenever it changes, until the unload. */
  watch(path: string, code: OwnCode | undefined): void {
    const reload = (): void => {
      this.reload().catch((error: PolyloopError) => {
        if (this.#state === 'open' && this.#listeners.size === 0) process.emitWarning(error.message, 'PolyloopReload')
      })
    }
    const changed = (at: number): void => {
      if (this.settings.shared === false) reload()
      else this.supervisor.rollout.codeChanged(at, reload)
    }
    const watcher = new CodeWatcher(path, code, changed)
    void this.closed.then(() => watcher.stop())
  }

  /**
   * Lets calls in flight and waiting finish, then ends the guest. Once: later calls get the same promise.
   *
   * @throws invalid-argument; deadline if the guest is on threads, which go on after `timeout`
   */
  unload(options?: UnloadOptions): Promise<void> {
    let within: number | undefined
    try {
      within = unloadTimeout(options)
    } catch (error) {
      return Promise.reject(error)
    }
    this.#unloading ??= this.#end().catch((error: unknown) => {
      throw toPolyloop(error, `${this.name} could not be unloaded`)
    })
    if (within !== undefined) this.#bound(within)
    return this.#unloading
  }

  async #end(): Promise<void> {
    if (this.open) this.#state = 'unloading'
    const settled = new Promise<void>((resolve) => this.dispatcher.whenSettled(resolve))
    holdForCalls()
    await settled
    // Calls may still wait if the guest keeps requests for good: no place will be free for them.
    this.dispatcher.fail(() => this.#refusal())
    this.#lastStats = this.stats()
    const closing = this.supervisor.close()
    await Promise.race([closing, this.#overdue.promise])
    this.#over()
  }

  #over(): void {
    if (this.#state === 'unloading') this.#state = 'unloaded'
    const { calls, waiting, bytes } = this.dispatcher.admission
    this.#lastStats = { ...this.stats(), inFlight: calls, queued: waiting, bytesInFlight: bytes }
    this.#closed.resolve()
  }

  /** Waits no longer than this for calls and guest. */
  #bound(within: number): void {
    const timer = setTimeout(() => this.#cutOff(within), within)
    void this.closed.then(() => clearTimeout(timer))
  }

  #cutOff(within: number): void {
    const late = `${this.name} was unloaded, and the call had not ended after ${within} ms (the timeout of unload)`
    const connections = this.supervisor.instances.map(({ connection }) => connection)
    this.dispatcher.abandonAll(connections, () => new PolyloopError('unloaded', late))
    this.supervisor.end()
    if (this.settings.placement === 'process') return
    const advice = "threads cannot be ended, and go on until they return: set placement to 'process'"
    this.#overdue.reject(new PolyloopError('deadline', `${this.name} has not ended within ${within} ms: ${advice}`))
    this.#over()
  }

  abandonStart(error: PolyloopError): void {
    if (error.code === 'deadline') this.supervisor.tellHung(error)
    // Those on threads are told to end, and nobody waits for them.
    this.unload({ timeout: 0 }).catch(() => {})
  }

  stats(): Stats {
    return this.#lastStats ?? statsOf(this.dispatcher, this.supervisor)
  }
}

function flagsOf(extras: CallExtras | undefined): number {
  if (extras === undefined) return 0
  return (extras.responseStream === undefined ? 0 : flag.output) | (extras.requestStream === undefined ? 0 : flag.input)
}
