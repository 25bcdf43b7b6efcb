// SPDX-License-Identifier: Apache-2.0
import { Block, flag, rawMethod } from './block.ts'
import { asBytes, type Encoded, encodeArguments } from './codec.ts'
import { Counts } from './counts.ts'
import { DuplexCall } from './duplex.ts'
import { PolyloopError } from './errors.ts'
import { type HubMember, join, keepAlive, nextId, open } from './hub.ts'
import { Input, isStream } from './input.ts'
import { type BindingEvent, native } from './native.ts'
import type { Settings } from './options.ts'
import { Output, type Source } from './output.ts'
import { type Stats, statsOf } from './stats.ts'
import { type CallOptions, limit, type More, Task } from './task.ts'
import { Tasks } from './tasks.ts'

/** A function of the guest, as its manifest declares it. */
export interface Method {
  readonly name: string
  /** Names of the parameters, where the guest's language tells. */
  readonly params?: readonly string[]
  readonly async?: boolean
  /** Whether it answers with a stream of items: call it with `stream`. */
  readonly stream?: boolean
  /** Whether its last argument is a stream. */
  readonly input?: boolean
}

interface Manifest {
  readonly methods: readonly Method[]
  readonly info?: Readonly<Record<string, unknown>>
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
    const { maxCalls, maxPayload, spin, sample } = settings
    const block = new Block(native.create(this.id, JSON.stringify({ maxCalls, maxPayload, spin })))
    this.tasks = new Tasks(this.id, block, settings.encoding, settings, new Counts(sample))
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
    if (method === undefined) return this.#refuse(this.#missing(name))
    try {
      if (args.length > 0 && isStream(args[args.length - 1]))
        return this.#feed(method, args, options, undefined).promise
      return this.#submit(method, encodeArguments(this.settings.encoding, args), options).promise
    } catch (error) {
      return this.#refuse(error)
    }
  }

  /** A call that was never sent. */
  #refuse(error: unknown): Promise<never> {
    if (error instanceof PolyloopError) this.tasks.counts.fail(error.code)
    return Promise.reject(error)
  }

  /** Calls a method that answers with a stream; an async iterable as the last argument is a request stream. */
  stream(name: string, args: readonly unknown[], options?: CallOptions): Output {
    return new Output((output) => this.#open(name, args, options, output))
  }

  /** Calls a method that streams both ways. */
  duplex(name: string, args: readonly unknown[], options?: CallOptions): DuplexCall {
    return new DuplexCall((output, input) => this.#open(name, [...args, input], options, output))
  }

  #open(name: string, args: readonly unknown[], options: CallOptions | undefined, output: Output): Source {
    const method = this.#methods.get(name)
    if (method === undefined) throw this.#missing(name)
    const task = this.#feed(method, args, options, output)
    task.promise.then(
      (value) => {
        // A guest that knows no streams answers with a value.
        if (value !== undefined) output.push(value, 0)
        output.finish()
      },
      (error) => output.fail(error),
    )
    return {
      credit: (items, bytes) => this.tasks.credit(task, items, bytes),
      abandon: (error) => task.abandon(error),
    }
  }

  /** Submits a call with a response stream, a request stream (the last argument, if it is one), or both. */
  #feed(method: number, args: readonly unknown[], options: CallOptions | undefined, output: Output | undefined): Task {
    const { encoding } = this.settings
    const last = args[args.length - 1]
    const streams = isStream(last)
    const encoded = encodeArguments(encoding, streams ? args.slice(0, -1) : args)
    if (!streams) return this.#submit(method, encoded, options, { output })
    const input = new Input(
      last,
      (value) => encodeArguments(encoding, [value]),
      (error) => task.abandon(error),
    )
    const task: Task = this.#submit(method, encoded, options, { output, input })
    return task
  }

  /** Sends bytes to the method `handle`, or to a guest without a manifest of methods. */
  send(bytes: unknown, options?: CallOptions): Promise<unknown> {
    if (this.#handle === undefined) return this.#refuse(this.#missing('handle'))
    try {
      return this.#submit(this.#handle, { flags: flag.bytes, payload: toBytes(bytes) }, options).promise
    } catch (error) {
      return this.#refuse(error)
    }
  }

  #submit(method: number, { flags, payload }: Encoded, options: CallOptions | undefined, more?: More): Task {
    if (this.#state !== 'ready') throw this.#refusal()
    const { counts } = this.tasks
    const timed = counts.isDue()
    const task = new Task(method, flags | flagsOf(more) | (timed ? flag.timed : 0), payload, timed, more)
    if (timed) counts.begin(task)
    if (options !== undefined) limit(task, options)
    try {
      this.tasks.run(task)
    } catch (error) {
      // Refused: nobody has its promise, so its signal and timer must not reject it.
      task.release?.()
      throw error
    }
    keepAlive()
    return task
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
    return statsOf(this.id, this.tasks)
  }
}

function flagsOf(more: More | undefined): number {
  if (more === undefined) return 0
  return (more.output === undefined ? 0 : flag.output) | (more.input === undefined ? 0 : flag.input)
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
