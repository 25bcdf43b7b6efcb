// SPDX-License-Identifier: Apache-2.0
// Hosts in processes of their own: `program.ts`, as it was built.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { root } from '../support/artifacts.ts'
import type { SubjectOptions } from './node.ts'

/** What came of a call or a load. */
export interface Outcome {
  readonly value?: unknown
  readonly code?: string
  readonly message?: string
  /** By which its guest's process ended. */
  readonly signal?: string | undefined
}

/** What a host can be asked for. */
export interface Asked {
  /** Loads a language's fixture; the value is its process. */
  load(language: string, options: SubjectOptions): Promise<Outcome>
  call(name: string, ...args: unknown[]): Promise<Outcome>
  items(name: string, ...args: unknown[]): Promise<unknown[]>
  /** Calls that nobody waits for; `outcomes` says what came of them. */
  begin(count: number, name: string, ...args: unknown[]): Promise<void>
  outcomes(): Promise<Outcome[]>
  pid(): Promise<number | undefined>
  types(): Promise<string[]>
  lines(): Promise<string[]>
  unload(): Promise<void>
}

type Question = readonly [id: number, name: string, args: readonly unknown[]]
type Answer = readonly [id: number, value: unknown, error?: string]

/** A host that is asked over a channel, in any order. */
export class OtherHost {
  readonly ask: Asked
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #last = 0

  constructor() {
    const program = join(root, 'conformance', 'dist', 'hosts', 'program.js')
    const env = { ...process.env, NODE_OPTIONS: '' }
    this.#child = fork(program, [], { serialization: 'advanced', execArgv: [], env })
    this.#exited = once(this.#child, 'exit').then(() => this.#end())
    this.#child.on('message', (answer: Answer) => this.#settle(answer))
    this.ask = new Proxy({} as Asked, {
      get:
        (_, name: string) =>
        (...args: unknown[]) =>
          this.#ask(name, args),
    })
  }

  /** Kills it, and waits until it has ended. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  #ask(name: string, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(++this.#last, { resolve, reject })
      this.#child.send([this.#last, name, args] satisfies Question)
    })
  }

  #settle([id, value, error]: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(value)
    else waiting?.reject(new Error(error))
  }

  #end(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error('the host has ended'))
  }
}
