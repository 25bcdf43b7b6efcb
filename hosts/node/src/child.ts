// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { native } from './native.ts'
import type { StreamName } from './printer.ts'
import { lines, streamsEnd } from './reading.ts'
import { type GuestProcess, howOf, unkillableAfter, unrunnable, type Witness } from './remote.ts'

/** Lines that a guest wrote last, which tell of its death. */
const lastLines = 20
/** Units of text of one such line. */
const lastLineLength = 500

/** The process of one guest of one host, which is its parent. */
export class OwnProcess implements GuestProcess {
  readonly #id: number
  readonly #command: readonly [string, ...string[]]
  readonly #drainTimeout: number
  readonly #witness: Witness
  readonly #last: string[] = []
  #child: ChildProcess | undefined
  #killing: NodeJS.Timeout | undefined
  #over = false

  constructor(id: number, command: readonly [string, ...string[]], drainTimeout: number, witness: Witness) {
    this.#id = id
    this.#command = command
    this.#drainTimeout = drainTimeout
    this.#witness = witness
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  begin(): void {
    const [program, ...args] = this.#command
    const files = JSON.parse(native.childDescriptors(this.#id)) as number[]
    try {
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', ...files, 'pipe'] })
      this.#child = child
      this.#watch(child)
    } catch (error) {
      // Told later, as what fails later is.
      process.nextTick(() => this.#failed(error as Error))
    } finally {
      native.closeChildDescriptors(this.#id)
    }
  }

  #watch(child: ChildProcess): void {
    child.on('error', (error) => {
      // Where there is a process, it could not be killed or told something: its end comes by itself.
      if (child.pid === undefined) this.#failed(error)
    })
    if (child.pid === undefined) return
    // A guest that is gone reads nothing more; its end is told of by itself.
    for (const stream of streamsOf(child)) stream.on('error', () => {})
    lines(lifeOf(child), (line) => this.#witness.said(line))
    for (const name of ['stdout', 'stderr'] as const) {
      lines(child[name] as Readable, (line) => this.#print(line, name))
    }
    child.once('exit', (code, signal) => void this.#exited(code, signal))
    this.#witness.reached()
  }

  write(text: string): void {
    if (this.#child !== undefined) lifeOf(this.#child).write(text)
  }

  hold(on: boolean): void {
    const child = this.#child
    if (child === undefined) return
    for (const handle of [child, ...streamsOf(child)]) {
      if (on) handle.ref()
      else handle.unref()
    }
  }

  started(): void {}

  /** Nobody else has one. */
  async takeOver(): Promise<void> {}

  close(): void {
    native.close(this.#id)
    this.write('close\n')
    this.expectEnd()
  }

  /** It ends after that. */
  closed(): void {}

  expectEnd(): void {
    if (this.#child === undefined) return
    const timer = setTimeout(() => this.kill(), this.#drainTimeout)
    this.#child.once('exit', () => clearTimeout(timer))
  }

  /** Ends the process, and those of its group that it started. */
  kill(): void {
    const child = this.#child
    if (child?.pid === undefined || this.#over) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has made no group yet.
      child.kill('SIGKILL')
    }
    this.#killing ??= setTimeout(() => void this.#exited(null, null), unkillableAfter)
  }

  abandon(): void {
    this.kill()
  }

  #print(text: string, name: StreamName): Promise<void> | undefined {
    this.#last.push(text.trimEnd().slice(0, lastLineLength))
    if (this.#last.length > lastLines) this.#last.shift()
    return this.#witness.printed(text, name)
  }

  async #exited(code: number | null, signal: string | null): Promise<void> {
    if (this.#over) return
    this.kill()
    this.#over = true
    clearTimeout(this.#killing)
    this.hold(true)
    await streamsEnd(this.#child === undefined ? [] : streamsOf(this.#child))
    this.hold(false)
    const exit = { code, signal, lines: this.#last }
    this.#witness.ended(howOf(exit), exit)
  }

  /** There is no process. */
  #failed(error: Error): void {
    if (this.#child !== undefined) for (const stream of streamsOf(this.#child)) stream?.destroy()
    const { code } = error as NodeJS.ErrnoException
    this.#witness.refused(...unrunnable(this.#command[0], code === 'ENOENT', error.message))
  }
}

/** The line of life, the last descriptor that a process is started with. */
function lifeOf(child: ChildProcess): Socket {
  return (child.stdio as readonly unknown[])[7] as Socket
}

/** What the host reads of a process. */
function streamsOf(child: ChildProcess): Socket[] {
  return [child.stdout as unknown as Socket, child.stderr as unknown as Socket, lifeOf(child)]
}
