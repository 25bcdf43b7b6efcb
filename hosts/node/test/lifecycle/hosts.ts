// SPDX-License-Identifier: Apache-2.0
// Hosts in processes of their own, which do what a test asks for: `programs/host.ts`.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { GuestExit, LoadOptions, RuntimeEvent } from 'polyloop'
import { afterEach } from 'vitest'
import { inRoot } from '../support/paths.ts'

/** What came of a call. */
export interface Outcome {
  readonly value?: unknown
  readonly code?: string
  readonly message?: string
  readonly exit?: GuestExit
}

/** What a host can be asked for. */
export interface Asked {
  load(locator: string, options: LoadOptions): Promise<number | undefined>
  tryToLoad(locator: string, options: LoadOptions): Promise<Outcome>
  pid(): Promise<number | undefined>
  call(name: string, ...args: unknown[]): Promise<unknown>
  outcome(name: string, ...args: unknown[]): Promise<Outcome>
  /** Calls that nobody waits for; `outcomes` says what came of them. */
  begin(count: number, name: string, ...args: unknown[]): Promise<void>
  outcomes(): Promise<Outcome[]>
  /** Calls of every kind, of the fixtures of streams. */
  contract(): Promise<unknown>
  /** What the guest sees of a call's context. */
  context(tag: string): Promise<unknown>
  /** Has the guest echo bytes without end; `calm` ends it, and says what came of it. */
  flood(): Promise<void>
  /** The same, and between two of them has it add a line of its own to a file. */
  mark(path: string): Promise<void>
  /** Calls of the flood that were answered. */
  flooded(): Promise<number>
  calm(): Promise<{ calls: number; wrong: number; codes: string[]; marks: string[] }>
  /** Begins to read a stream; `rest` reads the rest, and says how many items came in all. */
  read(name: string, ...args: unknown[]): Promise<void>
  rest(): Promise<number>
  types(): Promise<string[]>
  /** The processes that events of a type have told. */
  told(type: RuntimeEvent['type']): Promise<(number | undefined)[]>
  reloads(): Promise<number>
  printed(): Promise<string[]>
  unload(): Promise<void>
  /** So many times: loads it, calls it and unloads it. */
  cycle(rounds: number, locator: string, options: LoadOptions): Promise<void>
  reload(): Promise<Outcome>
  /** The memory files and sockets that are open. */
  descriptors(): Promise<string[]>
  exit(): Promise<never>
}

/** A host; what it is asked for is answered in any order. */
export type TestHost = Asked & {
  readonly hostPid: number
  /** Sends it a signal, and waits until it has ended; a thread is terminated. */
  end(signal?: NodeJS.Signals): Promise<void>
}

/** What a host answers: the number of a question, and a value or why there is none. */
type Answer = readonly [id: number, value: unknown, error: string | undefined]

const program = inRoot('hosts/node/test/dist/lifecycle/programs/host.js')
const started = new Set<() => Promise<unknown>>()

afterEach(async () => {
  await Promise.all([...started].map((end) => end()))
})

/** Starts a host. */
export function host(): TestHost {
  const env = { ...process.env, NODE_OPTIONS: '' }
  const child = fork(program, [], { serialization: 'advanced', execArgv: [], env })
  const exited = once(child, 'exit')
  const end = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    child.kill(signal)
    await exited
    started.delete(end)
  }
  return toHost(child.pid as number, child, (question) => child.send(question as never), end)
}

/** Starts a host in a thread of this process. */
export function thread(): TestHost {
  const worker = new Worker(program, { execArgv: [] })
  const end = async (): Promise<void> => {
    await worker.terminate()
    started.delete(end)
  }
  return toHost(process.pid, worker, (question) => worker.postMessage(question), end)
}

function toHost(
  hostPid: number,
  from: ChildProcess | Worker,
  send: (question: unknown) => void,
  end: TestHost['end'],
): TestHost {
  started.add(end)
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  from.on('message', ([id, value, error]: Answer) => {
    const { resolve, reject } = waiting.get(id) as { resolve(value: unknown): void; reject(error: Error): void }
    if (error === undefined) resolve(value)
    else reject(new Error(error))
  })
  let last = 0
  const ask = (name: string, args: unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      send([id, name, args])
    })
  const own = { hostPid, end }
  return new Proxy(own, {
    get: (target, name: string) =>
      name in target ? target[name as keyof typeof target] : (...args: unknown[]) => ask(name, args),
  }) as unknown as TestHost
}
