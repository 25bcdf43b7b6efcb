// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { Breach } from './errors.ts'
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
/** Lines that are handed on in one turn of the loop: a guest that writes without end leaves others their turn. */
const linesAtOnce = 256
/** Milliseconds in which a process must have greeted: a program that is something else never does. */
const greetingWithin = 20_000
/** Milliseconds that the streams of a process that has ended may stay open, because others have inherited them. */
const patience = 200
/** Milliseconds after which a process that cannot be killed (it runs a program of another user) is given up. */
const unkillableAfter = 10_000

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
  #hasGreeted = false
  #killing: NodeJS.Timeout | undefined
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
    child.on('error', (error) => {
      // Where there is a process, it could not be killed or told something: its end comes by itself.
      if (child.pid === undefined) this.#failed(error)
    })
    if (child.pid === undefined) return
    // A guest that is gone reads nothing more; its end is told of by itself.
    for (const stream of streamsOf(child)) stream.on('error', () => {})
    lines(life, (line) => this.#said(line))
    for (const name of ['stdout', 'stderr'] as const) {
      lines(child[name] as Readable, (line) => this.#print(line, name))
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
    this.#expectEnd()
  }

  /** It ends by itself within some time, or is ended. */
  #expectEnd(): void {
    const timer = setTimeout(() => this.#end(), this.#settings.drainTimeout)
    this.#child?.once('exit', () => clearTimeout(timer))
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
    this.#killing ??= setTimeout(() => void this.#exited(null, null), unkillableAfter)
  }

  /** What it printed comes by itself. */
  flushLog(): void {}

  #write(text: string): void {
    if (this.#child !== undefined) lifeOf(this.#child).write(text)
  }

  /** Each event is told once, at its time: a guest that says another has broken the protocol. */
  #said(line: string): void {
    // It is being ended already.
    if (this.#reason !== undefined) return
    let said: Said
    try {
      said = (JSON.parse(line) ?? {}) as Said
    } catch {
      said = {}
    }
    const { event, rc, payload } = said
    const text = typeof payload === 'string' ? payload : ''
    clearTimeout(this.#greeting)
    if (event === 'hello' && !this.#hasGreeted) this.#hasGreeted = true
    else if ((event === 'ready' || event === 'failed') && this.#state === 'starting') {
      this.#startedOr(event, typeof rc === 'number' ? rc : 0, text)
    } else if (event === 'died' && this.#state !== 'failed') {
      this.#reason = text
      this.#end()
    } else if (event !== 'closed' || !this.#closing) {
      this.#tenant.breach(new Breach(`its process says '${line.slice(0, 200).trimEnd()}'`))
    }
  }

  #startedOr(event: 'ready' | 'failed', rc: number, payload: string): void {
    this.#state = event
    if (event === 'ready') {
      this.#hold(false)
      this.#tenant.event('ready', rc, payload)
      return
    }
    this.#expectEnd()
    this.#ended('failed', payload, rc)
  }

  /** Prints a line; a promise where the next one has to wait. */
  #print(text: string, name: StreamName): Promise<void> | undefined {
    this.#last.push(text.trimEnd().slice(0, lastLineLength))
    if (this.#last.length > lastLines) this.#last.shift()
    if (this.#printer.print(text, name, this.pid)) return undefined
    return new Promise((resolve) => process[name].once('drain', resolve))
  }

  async #exited(code: number | null, signal: string | null): Promise<void> {
    if (this.#over) return
    this.#end()
    this.#over = true
    clearTimeout(this.#greeting)
    clearTimeout(this.#killing)
    this.#hold(true)
    await this.#streamsEnd()
    this.#hold(false)
    if (this.#state === 'failed') return
    // It was told to end, and has; or had to be ended, which nobody waits for.
    if (this.#closing && this.#reason === undefined) return this.#ended('closed', '')
    const how = signal === null ? `exited with code ${code}` : `was killed by ${signal}`
    this.#gone(code === null && signal === null ? 'cannot be ended' : how, { code, signal })
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

/** Hands a stream on in whole lines, each with its end; `take` returns a promise where the next one has to wait. */
function lines(from: Readable, take: (line: string) => unknown): void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  from.on('data', (bytes: Buffer) => {
    rest += decoder.write(bytes)
    const end = rest.lastIndexOf('\n') + 1
    const whole: string[] = rest.slice(0, end).match(/[^\n]*\n/g) ?? []
    rest = rest.slice(end)
    if (rest.length > longestLine) {
      whole.push(`${rest}\n`)
      rest = ''
    }
    if (whole.length > 0) void handOn(from, whole, take)
  })
  from.on('end', () => {
    if (rest !== '') take(`${rest}\n`)
  })
}

/** Hands lines on, some in each turn of the loop, and reads no more meanwhile. */
async function handOn(from: Readable, whole: readonly string[], take: (line: string) => unknown): Promise<void> {
  from.pause()
  for (const [index, line] of whole.entries()) {
    if (index > 0 && index % linesAtOnce === 0) await new Promise((resolve) => setImmediate(resolve))
    const waits = take(line)
    if (waits !== undefined) await waits
  }
  from.resume()
}
