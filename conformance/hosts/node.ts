// SPDX-License-Identifier: Apache-2.0
// Node.js as the host.
import { type LoadOptions, load, type CallOptions as NodeCallOptions, type Runtime, type RuntimeEvent } from 'polyloop'
import { msgpack } from 'polyloop/msgpack'
import type { CallOptions, DuplexStream, ItemStream, Subject } from '../subject.ts'
import type { Row } from '../support/selection.ts'

/** Options of a load; codecs by their names. */
export interface SubjectOptions extends Omit<LoadOptions, 'codec'> {
  readonly codec?: string
  /** Loads this in place of the language's fixture. */
  readonly locator?: string
}

let number = 0

/** Loads a guest that no other case has: another configuration makes another runtime, and another name another process. */
export async function loadSubject({ language, placement }: Row, options: SubjectOptions = {}): Promise<Subject> {
  const { locator = language.locate(), codec = 'json', config, ...more } = options
  const events: RuntimeEvent[] = []
  const lines: string[] = []
  const id = `conformance ${process.pid} ${++number}`
  const guest = await load(locator, {
    ...language.options?.(),
    config: 'config' in options ? config : { conformance: id },
    codec: toCodec(codec),
    onEvent: (event) => events.push(event),
    log: (text) => lines.push(...text.replace(/\n$/, '').split('\n')),
    ...(placement === 'thread' ? {} : { placement: 'process' }),
    ...(placement === 'shared' && { shared: id }),
    ...more,
  })
  return new NodeSubject(guest, events, lines)
}

class NodeSubject implements Subject {
  readonly events: readonly RuntimeEvent[]
  readonly lines: readonly string[]
  readonly #guest: Runtime

  constructor(guest: Runtime, events: readonly RuntimeEvent[], lines: readonly string[]) {
    this.#guest = guest
    this.events = events
    this.lines = lines
  }

  get methods(): Runtime['methods'] {
    return this.#guest.methods
  }

  call(name: string, args: readonly unknown[] = [], options?: CallOptions): Promise<unknown> {
    return this.#guest.call(name, args, toNode(options)) as Promise<unknown>
  }

  stream(name: string, args: readonly unknown[] = [], options?: CallOptions): ItemStream {
    return this.#guest.stream(name, args, toNode(options)) as ItemStream
  }

  duplex(name: string, options?: CallOptions): DuplexStream {
    return this.#guest.duplex(name, [], toNode(options)) as DuplexStream
  }

  send(bytes: Uint8Array): Promise<unknown> {
    return this.#guest.send(bytes)
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    process.kill(this.pid() as number, signal)
  }

  pid(): number | undefined {
    return this.stats().instances[0]?.pid
  }

  stats(): ReturnType<Runtime['stats']> {
    return this.#guest.stats()
  }

  reload(): Promise<void> {
    return this.#guest.reload()
  }

  unload(): Promise<void> {
    return this.#guest.unload()
  }

  /** With several arguments functions are called as methods, which take no options. */
}

/** A codec by its name; of a name that no kit knows it is JSON. */
function toCodec(name: string): NonNullable<LoadOptions['codec']> {
  if (name === 'json') return name
  if (name === 'msgpack') return msgpack
  const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
  return { name, encode, decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()) as unknown }
}

function toNode(options: CallOptions | undefined): NodeCallOptions | undefined {
  if (options?.deadline === undefined) return options as NodeCallOptions | undefined
  return { ...options, deadline: Date.now() + options.deadline }
}
