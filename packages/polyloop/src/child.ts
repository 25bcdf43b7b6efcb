// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { GuestStart, Home, Tenant } from './home.ts'
import { type BindingEvent, native } from './native.ts'
import type { Settings } from './options.ts'
import { Printer, type StreamName } from './printer.ts'

/** Lines that a guest wrote last, which tell of its death. */
const lastLines = 20
/** Units of text of one such line. */
const lastLineLength = 500
/** A line that never ends is handed on in pieces of so many units. */
const longestLine = 1 << 20
/** Milliseconds in which a process must have greeted: a program that is something else never does. */
const greetingWithin = 20_000
/** Milliseconds that the streams of a process that has ended may stay open, because others have inherited them. */
const patience = 200

const strange = `it does not speak as a guest's process does: is it the interpreter that was meant?`

/** A line of life, as `crates/process/src/life.rs` writes it. */
interface Said {
  readonly event?: unknown
  readonly rc?: unknown
  readonly payload?: unknown
}

/** A guest in a process of its own. */
export class ProcessHome implements Home {
  readonly isRemote = true
  readonly #id: number
  readonly #guest: GuestStart
  readonly #settings: Settings
  readonly #tenant: Tenant
  readonly #printer: Printer
  readonly #last: string[] = []
  #child: ChildProcess | undefined
  /** Why it was killed, or says that it dies. */
  #reason: Error | string | undefined
  /** What it has said of its start. */
  #state: 'starting' | 'ready' | 'failed' = 'starting'
  #greeting: NodeJS.Timeout | undefined
  #closing = false
  #over = false

  constructor(id: number, name: string, guest: GuestStart, settings: Settings, tenant: Tenant) {
    this.#id = id
    this.#guest = guest
    this.#settings = settings
    this.#tenant = tenant
    this.#printer = new Printer(name, settings.log)
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  begin(): () => void {
    const [program, ...args] = this.#guest.command
    const files = JSON.parse(native.files(this.#id)) as number[]
    try {
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', ...files, 'pipe'] })
      this.#child = child
      this.#watch(child)
    } catch (error) {
      // Told later, as what fails later is.
      process.nextTick(() => this.#failed(error as Error))
    } finally {
      native.spawned(this.#id)
    }
    return () => {}
  }

  #watch(child: ChildProcess): void {
    const life = lifeOf(child)
    child.once('error', (error) => {
      // Where there is a process, it could not be killed or told something: its end comes by itself.
      if (child.pid === undefined) this.#failed(error)
    })
    if (child.pid === undefined) return
    // A guest that is gone reads nothing more; its end is told of by itself.
    life.on('error', () => {})
    lines(life, (line) => this.#said(line))
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = child[name] as Readable
      lines(stream, (line) => this.#print(stream, line, name))
    }
    child.once('exit', (code, signal) => void this.#exited(code, signal))
    this.#greeting = setTimeout(() => this.kill(new Error(strange)), greetingWithin)
    life.write(`${this.#start()}\n`)
    this.#hold(true)
  }

  #start(): string {
    const { threads, config, encoding, maxPayload, maxMemory, heartbeat } = this.#settings
    const { library, loader } = this.#guest
    // Several beats within the time that the host waits for one.
    const beat = heartbeat === 0 ? 0 : Math.max(1, Math.floor(heartbeat / 4))
    return JSON.stringify({ library, loader, threads, config, codec: encoding.name, maxPayload, maxMemory, beat })
  }

  /** Whether the process and its streams keep the loop alive: not while they only wait. */
  #hold(on: boolean): void {
    const child = this.#child
    if (child === undefined) return
    for (const handle of [child, ...streamsOf(child)]) {
      if (on) handle.ref()
      else handle.unref()
    }
  }

  close(): void {
    this.#closing = true
    native.close(this.#id)
    if (this.#child === undefined) return
    this.#hold(true)
    this.#write('close\n')
    const { drainTimeout } = this.#settings
    const timer = setTimeout(() => this.#end(), drainTimeout)
    this.#child.once('exit', () => clearTimeout(timer))
  }

  kill(reason: Error): void {
    this.#reason ??= reason
    this.#end()
  }

  /** Ends the process, and those of its group that it started. */
  #end(): void {
    const child = this.#child
    if (child?.pid === undefined || this.#over) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has made no group yet.
      child.kill('SIGKILL')
    }
  }

  /** What it printed comes by itself. */
  flushLog(): void {}

  #write(text: string): void {
    if (this.#child !== undefined) lifeOf(this.#child).write(text)
  }

  #said(line: string): void {
    let said: Said
    try {
      said = (JSON.parse(line) ?? {}) as Said
    } catch {
      said = {}
    }
    const { event, rc, payload } = said
    clearTimeout(this.#greeting)
    if (event === 'hello') return
    const text = typeof payload === 'string' ? payload : ''
    if (event === 'ready' || event === 'failed') this.#startedOr(event, Number(rc ?? 0), text)
    else if (event === 'died') {
      this.#reason ??= text
      this.#end()
    } else if (event === 'closed') this.#closing = true
    else this.#tenant.breach(new Error(`its process says '${line.slice(0, 200)}'`))
  }

  #startedOr(event: 'ready' | 'failed', rc: number, payload: string): void {
    if (this.#state !== 'starting') return
    this.#state = event
    if (event === 'ready') {
      this.#hold(false)
      this.#tenant.event('ready', rc, payload)
    } else this.#ended('failed', payload, rc)
  }

  #print(from: Readable, text: string, name: StreamName): void {
    this.#last.push(text.trimEnd().slice(0, lastLineLength))
    if (this.#last.length > lastLines) this.#last.shift()
    if (this.#printer.print(text, name, this.pid)) return
    from.pause()
    process[name].once('drain', () => from.resume())
  }

  async #exited(code: number | null, signal: string | null): Promise<void> {
    this.#end()
    this.#over = true
    clearTimeout(this.#greeting)
    this.#hold(true)
    await this.#streamsEnd()
    this.#hold(false)
    if (this.#state === 'failed') return
    // It was told to end, and has; or had to be ended, which nobody waits for.
    if (this.#closing && this.#reason === undefined) return this.#ended('closed', '')
    this.#gone(signal === null ? `exited with code ${code}` : `was killed by ${signal}`, { code, signal })
  }

  /** What the process wrote before its end is read before its end is told. */
  #streamsEnd(): Promise<void> {
    const streams = this.#child === undefined ? [] : streamsOf(this.#child)
    return new Promise((resolve) => {
      let open = streams.length
      const timer = setTimeout(finish, patience)
      function finish(): void {
        clearTimeout(timer)
        for (const stream of streams) stream.destroy()
        resolve()
      }
      const ended = (): void => {
        if (--open === 0) finish()
      }
      for (const stream of streams) {
        if (stream.readableEnded || stream.destroyed) ended()
        else stream.once('close', ended).once('end', () => stream.destroy())
      }
    })
  }

  /** The process has ended and was not to. */
  #gone(how: string, { code, signal }: { code: number | null; signal: string | null }): void {
    const [event, when] = this.#state === 'ready' ? (['died', ''] as const) : (['failed', ' while it started'] as const)
    const reason = this.#reason
    const why = reason instanceof Error ? `: ${reason.message}` : ''
    const last = this.#last.length === 0 ? '' : `; it wrote last:\n${this.#last.join('\n')}`
    const message = `its process ${this.pid} ${how}${when}${why}${last}`
    const exit = { code, signal, lines: this.#last }
    this.#ended(event, isSaid(reason) ? reason : JSON.stringify({ type: '', message, exit }))
  }

  #ended(event: BindingEvent, payload: string, rc = 0): void {
    this.#tenant.event(event, rc, payload)
    native.remove(this.#id)
  }

  /** There is no process. */
  #failed(error: Error): void {
    if (this.#child !== undefined) for (const stream of streamsOf(this.#child)) stream?.destroy()
    const { code } = error as NodeJS.ErrnoException
    const [program] = this.#guest.command
    const missing = code === 'ENOENT'
    const what = missing ? `there is no program '${program}'` : `'${program}' cannot be run: ${error.message}`
    const message = `${what}: correct the path, or the option python or venv`
    const known = { type: 'PolyloopError', code: missing ? 'not-found' : 'init-failed', message }
    this.#state = 'failed'
    this.#ended('failed', JSON.stringify(known))
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

/** Whether the guest itself has said why it dies, as an error object. */
function isSaid(reason: Error | string | undefined): reason is string {
  return typeof reason === 'string' && reason !== ''
}

/** Hands a stream on in whole lines, each with its end. */
function lines(from: Readable, take: (line: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  from.on('data', (bytes: Buffer) => {
    rest += decoder.write(bytes)
    const end = rest.lastIndexOf('\n') + 1
    if (end > 0) {
      for (const line of rest.slice(0, end).match(/[^\n]*\n/g) ?? []) take(line)
      rest = rest.slice(end)
    }
    if (rest.length > longestLine) {
      take(`${rest}\n`)
      rest = ''
    }
  })
  from.on('end', () => {
    if (rest !== '') take(`${rest}\n`)
  })
}
