// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { native } from '../native/addon.ts'
import { hold, release } from '../native/keep-alive.ts'
import { howOf, unkillableAfter, unrunnable } from './ending.ts'
import { lines, messages, streamsEnd } from './lines.ts'
import type { OnInstanceEvent } from './placement.ts'
import type { Printer, StreamName } from './printer.ts'
import type { GuestProcess } from './process.ts'

/** Lines that a guest wrote last, which tell of its death. */
const lastLines = 20
/** UTF-16 units of one such line. */
const lastLineLength = 500

/** The process of one guest of one host, which is its parent. */
export class OwnProcess implements GuestProcess {
  readonly #id: number
  readonly #command: readonly [string, ...string[]]
  readonly #drainTimeout: number
  readonly #printer: Printer
  readonly #tell: OnInstanceEvent
  readonly #last: string[] = []
  #child: ChildProcess | undefined
  #killing: NodeJS.Timeout | undefined
  #over = false

  constructor(
    id: number,
    command: readonly [string, ...string[]],
    drainTimeout: number,
    printer: Printer,
    tell: OnInstanceEvent,
  ) {
    this.#id = id
    this.#command = command
    this.#drainTimeout = drainTimeout
    this.#printer = printer
    this.#tell = tell
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
      // If there is a process, it could not be killed or told something: its end comes by itself.
      if (child.pid === undefined) this.#failed(error)
    })
    if (child.pid === undefined) return
    for (const handle of [child, ...streamsOf(child)]) handle.unref()
    // A guest that is gone reads nothing more; its end is told of by itself.
    for (const stream of streamsOf(child)) stream.on('error', () => {})
    messages(lifelineOf(child), (line) => this.#tell({ type: 'line', line }))
    for (const name of ['stdout', 'stderr'] as const) {
      lines(child[name] as Readable, (line) => this.#print(line, name))
    }
    child.once('exit', (code, signal) => void this.#exited(code, signal))
    this.#tell({ type: 'reached' })
  }

  write(text: string): void {
    if (this.#child !== undefined) lifelineOf(this.#child).write(text)
  }

  /** Its idle threads park on words of the block. */
  started(): undefined {}

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
    const timer = setTimeout(() => this.kill(), this.#drainTimeout).unref()
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
    hold(this, 'a guest process ends')
    this.#killing ??= setTimeout(() => void this.#exited(null, null), unkillableAfter).unref()
  }

  abandon(): void {
    this.kill()
  }

  #print(text: string, name: StreamName): Promise<void> | undefined {
    this.#last.push(text.trimEnd().slice(0, lastLineLength))
    if (this.#last.length > lastLines) this.#last.shift()
    return this.#printer.line(text, name, this.pid)
  }

  async #exited(code: number | null, signal: string | null): Promise<void> {
    if (this.#over) return
    // DEATH 1 end
    this.kill()
    this.#over = true
    clearTimeout(this.#killing)
    hold(this, 'a guest process is to be read to its end')
    await streamsEnd(this.#child === undefined ? [] : streamsOf(this.#child))
    release(this)
    const exit = { code, signal, lines: this.#last }
    this.#tell({ type: 'ended', how: howOf(exit), exit })
  }

  /** There is no process. */
  #failed(error: Error): void {
    if (this.#child !== undefined) for (const stream of streamsOf(this.#child)) stream?.destroy()
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    this.#tell({ type: 'refused', ...unrunnable(this.#command[0], isMissing, error.message) })
  }
}

/** The lifeline, the last descriptor that a process is started with. */
function lifelineOf(child: ChildProcess): Socket {
  return (child.stdio as readonly unknown[])[7] as Socket
}

/** What the host reads of a process. */
function streamsOf(child: ChildProcess): Socket[] {
  return [child.stdout as unknown as Socket, child.stderr as unknown as Socket, lifelineOf(child)]
}
