// SPDX-License-Identifier: Apache-2.0
// What the suites know of a host: a guest that it has loaded, whatever host it is.

/** What may be said of one call. */
export interface CallOptions {
  readonly signal?: AbortSignal
  /** Milliseconds from now. */
  readonly deadline?: number
  readonly context?: Readonly<Record<string, string>>
  readonly onContext?: (context: Readonly<Record<string, string>>) => void
  /** Items that either side of a stream may be ahead of the other. */
  readonly ahead?: number
}

/** A response stream. */
export interface ItemStream extends AsyncIterableIterator<unknown> {
  return(): Promise<IteratorResult<unknown>>
}

/** A call that streams both ways. */
export interface DuplexStream extends ItemStream {
  write(item: unknown): Promise<void>
  end(): void
}

interface SubjectEvent {
  readonly type: string
  readonly pid?: number | undefined
  readonly error?: unknown
}

interface SubjectStats {
  readonly calls: number
  readonly errors: number
  readonly inFlight: number
  /** Answers to calls that were given up. */
  readonly late: number
  readonly duplicates: number
  /** Requests whose memory is lent to the guest. */
  readonly pinned: number
  /** Bytes of memory that large responses came in. */
  readonly slabBytes: number
  readonly restarts: number
  readonly reloads: number
  readonly instances: readonly { readonly pid?: number }[]
}

/** A guest that a host has loaded. */
export interface Subject {
  /** Calls a function; an async iterable as the last argument is a request stream. */
  call(name: string, args?: readonly unknown[], options?: CallOptions): Promise<unknown>
  stream(name: string, args?: readonly unknown[], options?: CallOptions): ItemStream
  duplex(name: string, options?: CallOptions): DuplexStream
  /** Sends bytes to the function `handle`. */
  send(bytes: Uint8Array): Promise<unknown>
  /** Ends the guest's process, where it has one. */
  kill(signal?: NodeJS.Signals): void
  /** The guest's process, where it has one. */
  pid(): number | undefined
  /** What has happened to it, in order. */
  readonly events: readonly SubjectEvent[]
  /** What it has printed, line by line. */
  readonly lines: readonly string[]
  readonly methods: readonly { readonly name: string; readonly async?: boolean }[]
  stats(): SubjectStats
  reload(): Promise<void>
  unload(): Promise<void>
}
