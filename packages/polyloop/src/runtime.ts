// SPDX-License-Identifier: Apache-2.0
import { flag } from './block.ts'
import { asBytes, type Encoded, encodeArguments } from './codec.ts'
import { Counts } from './counts.ts'
import { type Deferred, deferred } from './deferred.ts'
import { DuplexCall } from './duplex.ts'
import { PolyloopError } from './errors.ts'
import { Fleet } from './fleet.ts'
import { keepAlive, nextId } from './hub.ts'
import { Input, isStream } from './input.ts'
import { Lobby } from './lobby.ts'
import type { Manifest, Method } from './manifest.ts'
import type { Settings } from './options.ts'
import { Output, type Source } from './output.ts'
import { type Stats, statsOf } from './stats.ts'
import { type CallOptions, limit, type More, Task } from './task.ts'

/** A runtime behind its face: what its calls go through before an instance has them. */
export class RuntimeCore {
  readonly id: number = nextId()
  readonly name: string
  readonly lobby: Lobby
  readonly fleet: Fleet
  readonly settings: Settings
  #state: 'open' | 'unloading' | 'unloaded' = 'open'
  #unloading: Promise<void> | undefined
  readonly #closed: Deferred<void> = deferred()
  #lastStats: Stats | undefined

  constructor(name: string, settings: Settings) {
    this.name = name
    this.settings = settings
    this.lobby = new Lobby(settings, new Counts(settings.sample))
    this.fleet = new Fleet(name, settings, this.lobby)
  }

  get manifest(): Manifest | undefined {
    return this.fleet.manifest
  }

  get methods(): readonly Method[] {
    return this.manifest?.methods ?? []
  }

  /** Resolves when it is unloaded. */
  get closed(): Promise<void> {
    return this.#closed.promise
  }

  /** Whether it takes calls, or will. */
  get open(): boolean {
    return this.#state === 'open' && this.fleet.failure === undefined
  }

  /** Calls a method with its arguments by position. */
  call(name: string, args: readonly unknown[], options?: CallOptions): Promise<unknown> {
    // STOP 1 call
    const method = this.manifest?.number(name)
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
    if (error instanceof PolyloopError) this.lobby.counts.fail(error.code)
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
    const method = this.manifest?.number(name)
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
      credit: (items, bytes) => task.at?.credit(task, items, bytes),
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
    const handle = this.manifest?.handle
    if (handle === undefined) return this.#refuse(this.#missing('handle'))
    try {
      return this.#submit(handle, { flags: flag.bytes, payload: toBytes(bytes) }, options).promise
    } catch (error) {
      return this.#refuse(error)
    }
  }

  #submit(method: number, { flags, payload }: Encoded, options: CallOptions | undefined, more?: More): Task {
    if (!this.open) throw this.#refusal()
    const { counts } = this.lobby
    const timed = counts.isDue()
    const all = flags | flagsOf(more) | (timed ? flag.timed : 0)
    const task = new Task(method, all, payload, timed, more, this.manifest)
    if (timed) counts.begin(task)
    if (options !== undefined) limit(task, options)
    try {
      this.lobby.run(task)
    } catch (error) {
      // Refused: nobody has its promise, so its signal and timer must not reject it.
      task.release?.()
      throw error
    }
    keepAlive()
    return task
  }

  #refusal(): PolyloopError {
    if (this.fleet.failure !== undefined) return this.fleet.failure()
    return new PolyloopError('unloaded', `${this.name} is unloaded: load it again`)
  }

  #missing(name: string): PolyloopError {
    const names = this.methods.map((method) => method.name)
    const known = names.length === 0 ? 'it declares no functions: use send()' : `it has ${names.join(', ')}`
    return new PolyloopError('not-found', `${this.name} has no function '${String(name)}': ${known}`)
  }

  /** Loads the guest's code anew. */
  async reload(): Promise<void> {
    if (!this.open) throw this.#refusal()
    await this.fleet.reload()
  }

  /** Lets calls in flight and waiting finish, then ends the guest. Once: later calls get the same promise. */
  unload(): Promise<void> {
    this.#unloading ??= this.#end()
    return this.#unloading
  }

  async #end(): Promise<void> {
    if (this.open) this.#state = 'unloading'
    const idle = new Promise<void>((resolve) => this.lobby.whenIdle(resolve))
    keepAlive()
    await idle
    // Calls may still wait where the guest keeps requests for good: no place will be free for them.
    this.lobby.fail(() => this.#refusal())
    this.#lastStats = this.stats()
    await this.fleet.close()
    if (this.#state === 'unloading') this.#state = 'unloaded'
    this.#closed.resolve()
  }

  stats(): Stats {
    return this.#lastStats ?? statsOf(this.lobby, this.fleet)
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
