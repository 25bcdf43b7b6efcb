// SPDX-License-Identifier: Apache-2.0
import { Block, flag, rawMethod } from './block.ts'
import { asBytes, type Encoded, encodeArguments } from './codec.ts'
import { PolyloopError } from './errors.ts'
import { type HubMember, join, keepAlive, nextId, open } from './hub.ts'
import { type BindingCounts, type BindingEvent, native } from './native.ts'
import type { Settings } from './options.ts'
import { type CallOptions, limit, Task } from './task.ts'
import { Tasks } from './tasks.ts'

/** A function of the guest, as its manifest declares it. */
export interface Method {
  readonly name: string
  /** Names of the parameters, where the guest's language tells. */
  readonly params?: readonly string[]
  readonly async?: boolean
}

interface Manifest {
  readonly methods: readonly Method[]
  readonly info?: Readonly<Record<string, unknown>>
}

/** Counts of one runtime since its load. */
export interface Stats {
  /** Calls submitted. */
  readonly calls: number
  /** Calls that an error came back for. */
  readonly errors: number
  /** Responses that came after their call was cancelled or its deadline had passed. */
  readonly late: number
  /** Answers that the guest gave to a task it had answered before. */
  readonly duplicates: number
  readonly inFlight: number
  /** Calls that wait because of maxCalls or maxBytes. */
  readonly queued: number
  /** Bytes of the requests in flight. */
  readonly bytesInFlight: number
  /** Bytes of all requests. */
  readonly bytesOut: number
  /** Bytes of all responses. */
  readonly bytesIn: number
  /** Bytes of memory that large responses came in, in use or kept for the next. */
  readonly slabBytes: number
  /** Requests whose memory is lent to the guest. */
  readonly pinned: number
  /** Times that the guest woke this thread's loop. */
  readonly wakeups: number
  /** Counts of this thread, all runtimes together. */
  readonly thread: {
    /** Calls into native code: doorbells, pins, slabs. */
    readonly nativeCalls: number
    /** Calls of native code into JavaScript, each for a batch of responses. */
    readonly drains: number
    /** Times that a sleeping guest was woken. */
    readonly doorbells: number
    /** Times that a second guest thread was woken because the first was busy. */
    readonly helps: number
    readonly turns: number
  }
}

type State = 'loading' | 'ready' | 'unloading' | 'unloaded' | 'crashed'

interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

/** A runtime behind its face: state, tasks, and what the hub tells. */
export class RuntimeCore implements HubMember {
  readonly id: number
  readonly name: string
  readonly tasks: Tasks
  readonly settings: Settings
  readonly started: Deferred<Manifest> = deferred()
  readonly #closed: Deferred<void> = deferred()
  readonly #methods = new Map<string, number>()
  /** The method that {@link send} calls. */
  #handle: number | undefined = rawMethod
  #manifest: Manifest = { methods: [] }
  #state: State = 'loading'
  #failure: PolyloopError | undefined
  #unloading: Promise<void> | undefined
  #lastStats: Stats | undefined
  /** Made once: a drain is as frequent as a call. */
  readonly #onLog = (): void => this.flushLog()

  constructor(name: string, settings: Settings) {
    this.name = name
    this.settings = settings
    open()
    this.id = nextId()
    const { maxCalls, maxPayload, spin } = settings
    const block = new Block(native.create(this.id, JSON.stringify({ maxCalls, maxPayload, spin })))
    this.tasks = new Tasks(this.id, block, settings.encoding, settings)
    join(this.id, this)
  }

  get methods(): readonly Method[] {
    return this.#manifest.methods
  }

  get info(): Readonly<Record<string, unknown>> {
    return this.#manifest.info ?? {}
  }

  /** Whether it takes calls, or will. */
  get open(): boolean {
    return this.#state === 'loading' || this.#state === 'ready'
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  /** Calls a method with its arguments by position. */
  call(name: string, args: readonly unknown[], options?: CallOptions): Promise<unknown> {
    // STOP 1 call
    const method = this.#methods.get(name)
    if (method === undefined) return Promise.reject(this.#missing(name))
    try {
      return this.#submit(method, encodeArguments(this.settings.encoding, args), options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Sends bytes to the method `handle`, or to a guest without a manifest of methods. */
  send(bytes: unknown, options?: CallOptions): Promise<unknown> {
    if (this.#handle === undefined) return Promise.reject(this.#missing('handle'))
    try {
      return this.#submit(this.#handle, { flags: flag.bytes, payload: toBytes(bytes) }, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #submit(method: number, { flags, payload }: Encoded, options: CallOptions | undefined): Promise<unknown> {
    if (this.#state !== 'ready') throw this.#refusal()
    const task = new Task(method, flags, payload)
    if (options !== undefined) limit(task, options)
    try {
      this.tasks.run(task)
    } catch (error) {
      // Refused: nobody has its promise, so its signal and timer must not reject it.
      task.release?.()
      throw error
    }
    keepAlive()
    return task.promise
  }

  #refusal(): PolyloopError {
    if (this.#failure !== undefined) return this.#crashed()
    return new PolyloopError('unloaded', `${this.name} is unloaded: load it again`)
  }

  #crashed(): PolyloopError {
    const { message, guest } = this.#failure as PolyloopError
    const details = guest === undefined ? { cause: this.#failure } : { cause: this.#failure, guest }
    return new PolyloopError('guest-crashed', `${this.name} has died: ${message}`, details)
  }

  #missing(name: string): PolyloopError {
    const names = this.methods.map((method) => method.name)
    const known = names.length === 0 ? 'it declares no functions: use send()' : `it has ${names.join(', ')}`
    return new PolyloopError('not-found', `${this.name} has no function '${String(name)}': ${known}`)
  }

  drain(limit: number): boolean {
    return this.tasks.drain(limit, this.#onLog)
  }

  flushLog(): void {
    const lines = JSON.parse(native.takeLog(this.id)) as [1 | 2, string][]
    for (const [stream, text] of lines) {
      const name = stream === 2 ? 'stderr' : 'stdout'
      if (this.settings.log === undefined) process[name].write(text)
      else this.#tell(this.settings.log, text, name)
    }
  }

  /** What the caller's function throws is an uncaught exception of its own: the lines after it are told all the same. */
  #tell(log: NonNullable<Settings['log']>, text: string, name: 'stdout' | 'stderr'): void {
    try {
      log(text, name)
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  }

  event(kind: BindingEvent, rc: number, payload: string): void {
    if (kind === 'ready') this.#ready(payload)
    else if (kind === 'failed') this.#failed(rc, payload)
    else if (kind === 'died') this.#died(payload)
    else {
      if (this.#state !== 'crashed') this.#state = 'unloaded'
      this.#closed.resolve()
    }
  }

  #ready(payload: string): void {
    try {
      this.#manifest = toManifest(payload)
    } catch (cause) {
      const error = new PolyloopError(
        'protocol',
        `the manifest of ${this.name} cannot be read: ${payload.slice(0, 200)}`,
        { cause },
      )
      this.#state = 'unloading'
      native.close(this.id)
      this.started.reject(error)
      return
    }
    for (const [index, method] of this.#manifest.methods.entries()) this.#methods.set(method.name, index)
    this.#handle = this.#methods.size === 0 ? rawMethod : this.#methods.get('handle')
    this.#state = 'ready'
    this.started.resolve(this.#manifest)
  }

  #failed(rc: number, payload: string): void {
    this.#state = 'unloaded'
    const error = PolyloopError.fromGuest('init-failed', payload, rc)
    error.message = `${this.name} could not be loaded: ${error.message}`
    this.started.reject(error)
    this.#closed.resolve()
  }

  #died(payload: string): void {
    this.#failure = PolyloopError.fromGuest('guest-crashed', payload)
    this.#state = 'crashed'
    this.tasks.fail(() => this.#crashed())
  }

  /** Lets calls in flight and waiting finish, then ends the guest. Once: later calls get the same promise. */
  unload(): Promise<void> {
    this.#unloading ??= this.#end()
    return this.#unloading
  }

  async #end(): Promise<void> {
    if (this.#state === 'ready') this.#state = 'unloading'
    const idle = new Promise<void>((resolve) => this.tasks.whenIdle(resolve))
    keepAlive()
    await idle
    // Calls may still wait where the guest keeps requests for good: no place will be free for them.
    this.tasks.fail(() => this.#refusal())
    this.#lastStats = this.stats()
    native.close(this.id)
    await this.closed
  }

  stats(): Stats {
    if (this.#lastStats !== undefined) return this.#lastStats
    const { calls, errors, late, bytesIn, bytesOut } = this.tasks.counts
    const { admission } = this.tasks
    const counts = JSON.parse(native.counts(this.id)) as Required<BindingCounts>
    const { duplicates, slabBytes, pinned, wakeups, nativeCalls, drains, doorbells, helps, turns } = counts
    return {
      calls,
      errors,
      late,
      duplicates,
      inFlight: admission.calls,
      queued: admission.waiting,
      bytesInFlight: admission.bytes,
      bytesOut,
      bytesIn,
      slabBytes,
      pinned,
      wakeups,
      thread: { nativeCalls, drains, doorbells, helps, turns },
    }
  }
}

function toBytes(value: unknown): Uint8Array {
  const bytes = asBytes(value)
  if (bytes !== undefined) return bytes
  const message = `send takes a Buffer, typed array or ArrayBuffer and got ${typeof value}: use call() for values`
  throw new PolyloopError('invalid-argument', message)
}

function toManifest(json: string): Manifest {
  const manifest = JSON.parse(json) as Manifest
  if (!Array.isArray(manifest.methods)) throw new TypeError('methods is not an array')
  if (manifest.methods.length >= rawMethod) throw new RangeError(`a guest has ${rawMethod - 1} functions at most`)
  for (const method of manifest.methods) {
    if (typeof method?.name !== 'string') throw new TypeError('a method has no name')
  }
  return manifest
}

function deferred<T>(): Deferred<T> {
  let settle: Pick<Deferred<T>, 'resolve' | 'reject'> | undefined
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { promise, ...(settle as unknown as Pick<Deferred<T>, 'resolve' | 'reject'>) }
}
