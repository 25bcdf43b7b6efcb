// SPDX-License-Identifier: Apache-2.0
// Hosts in processes of their own, which do what a test asks for: `programs/host.ts`.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { afterEach } from 'vitest'
import type { GuestExit, LoadOptions } from '../index.ts'
import { inRepository } from './paths.ts'

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
  /** Calls of the flood that were answered. */
  flooded(): Promise<number>
  calm(): Promise<{ calls: number; wrong: number; codes: string[] }>
  types(): Promise<string[]>
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
  /** Sends it a signal, and waits until it has ended. */
  end(signal: NodeJS.Signals): Promise<void>
}

const started = new Set<ChildProcess>()

afterEach(async () => {
  const ends = [...started].map((child) => once(child, 'exit'))
  for (const child of started) child.kill('SIGKILL')
  await Promise.all(ends)
})

/** Starts a host. */
export function host(): TestHost {
  const program = inRepository('packages/polyloop/dist/lifecycle/programs/host.js')
  const env = { ...process.env, NODE_OPTIONS: '' }
  const child = fork(program, [], { serialization: 'advanced', execArgv: [], env })
  started.add(child)
  const exited = once(child, 'exit').then(() => started.delete(child))
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  child.on('message', ([id, value, error]: [number, unknown, string | undefined]) => {
    const { resolve, reject } = waiting.get(id) as { resolve(value: unknown): void; reject(error: Error): void }
    if (error === undefined) resolve(value)
    else reject(new Error(error))
  })
  let last = 0
  const ask = (name: string, args: unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      child.send([id, name, args])
    })
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    await exited
  }
  const own = { hostPid: child.pid as number, end }
  return new Proxy(own, {
    get: (target, name: string) =>
      name in target ? target[name as keyof typeof target] : (...args: unknown[]) => ask(name, args),
  }) as unknown as TestHost
}
