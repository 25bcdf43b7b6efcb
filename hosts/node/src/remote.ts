// SPDX-License-Identifier: Apache-2.0
import { Breach, type GuestExit, type PolyloopErrorCode } from './errors.ts'
import type { GuestStart, Home, Tenant } from './home.ts'
import { type BindingEvent, native } from './native.ts'
import type { Settings } from './options.ts'
import { Printer, type StreamName } from './printer.ts'

/** Milliseconds in which a process must have greeted: a program that is something else never does. */
const greetingWithin = 20_000
/** Milliseconds after which a process that cannot be ended (it runs a program of another user) is given up. */
export const unkillableAfter = 10_000

const strange = `it does not speak as a guest's process does: is it the interpreter that was meant?`

/** How a process has ended of which nobody knows it. */
export const unknownExit: GuestExit = { code: null, signal: null, lines: [] }

/** The process that a guest lives in: one of its own, or one that serves other hosts, too. */
export interface GuestProcess {
  /** Its number, once that is known. */
  readonly pid: number | undefined
  /** Starts it, or finds it. `anew`: not one that others have. */
  begin(anew: boolean): void
  /** Says something over the line of life. */
  write(text: string): void
  /** Whether it keeps the loop alive: not while it only waits. */
  hold(on: boolean): void
  /** It has told how its start went. */
  started(): void
  /** Puts it in the place of the one that other hosts have. */
  takeOver(): Promise<void>
  /** Has it serve this host no more. */
  close(): void
  /** It has let go of what it shares with this host. */
  closed(): void
  /** It ends by itself within some time, or is ended. */
  expectEnd(): void
  /** Ends it. */
  kill(): void
  /** This host needs it no more. */
  abandon(): void
}

/** What a guest's process tells of itself. */
export interface Witness {
  /** There is a line of life; a new one, where another process is tried. */
  reached(): void
  /** It has said a line there. */
  said(line: string): void
  /** Other hosts have a newer one. */
  moved(): void
  /** This host is the one to act on changes of its code, which is that of this time, or newer. */
  first(since: number): void
  /** It has printed a line. Returns a promise where the next one has to wait. */
  printed(text: string, stream: StreamName): Promise<void> | undefined
  /** It has ended, or is out of reach, and what it wrote before was read. Once. */
  ended(how: string, exit: GuestExit): void
  /** There is none. Once, and nothing else. */
  refused(code: PolyloopErrorCode, message: string): void
}

/** A line of life, as `crates/guest-process/src/life.rs` writes it. */
interface Said {
  readonly event?: unknown
  readonly rc?: unknown
  readonly payload?: unknown
}

/** A guest in another process: what they say to each other over the line of life. */
export class RemoteHome implements Home, Witness {
  readonly isRemote = true
  mayRead = true
  readonly #id: number
  readonly #guest: GuestStart
  readonly #settings: Settings
  readonly #tenant: Tenant
  readonly #printer: Printer
  readonly #process: GuestProcess
  /** Why it was killed, or says that it dies. */
  #reason: Error | string | undefined
  /** What it has said of its start. */
  #state: 'starting' | 'ready' | 'failed' = 'starting'
  /** Tells that it has failed, which nobody was told yet. */
  #failure: (() => void) | undefined
  #greeting: NodeJS.Timeout | undefined
  #hasGreeted = false
  #closing = false

  constructor(
    id: number,
    name: string,
    guest: GuestStart,
    settings: Settings,
    tenant: Tenant,
    toProcess: (witness: Witness) => GuestProcess,
  ) {
    this.#id = id
    this.#guest = guest
    this.#settings = settings
    this.#tenant = tenant
    this.#printer = new Printer(name, settings.log)
    this.#process = toProcess(this)
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  begin(anew: boolean): () => void {
    this.#process.begin(anew)
    return () => {}
  }

  takeOver(): Promise<void> {
    return this.#process.takeOver()
  }

  moved(): void {
    this.#tenant.moved()
  }

  first(since: number): void {
    this.#tenant.first(since)
  }

  reached(): void {
    this.#stopWaiting()
    this.#hasGreeted = false
    // A loop that was busy for so long reads what has come before it judges.
    this.#greeting = setTimeout(() => setImmediate(() => this.#missGreeting()), greetingWithin)
    this.#process.write(`${this.#start()}\n`)
    this.#process.hold(true)
    this.#tenant.reached()
  }

  #missGreeting(): void {
    if (this.#greeting !== undefined) this.kill(new Error(strange))
  }

  #stopWaiting(): void {
    clearTimeout(this.#greeting)
    this.#greeting = undefined
  }

  #start(): string {
    const { threads, config, encoding, maxPayload, maxMemory, heartbeat } = this.#settings
    const { library, loader } = this.#guest
    // Several beats within the time that the host waits for one.
    const beat = heartbeat === 0 ? 0 : Math.max(1, Math.floor(heartbeat / 4))
    return JSON.stringify({ library, loader, threads, config, codec: encoding.name, maxPayload, maxMemory, beat })
  }

  close(): void {
    this.#closing = true
    this.#process.hold(true)
    this.#process.close()
  }

  kill(reason: Error): void {
    this.#reason ??= reason
    this.#process.kill()
  }

  abandon(reason: Error): void {
    this.#reason ??= reason
    this.#process.abandon()
  }

  /** What it printed comes by itself. */
  flushLog(): void {}

  printed(text: string, name: StreamName): Promise<void> | undefined {
    if (this.#printer.print(text, name, this.pid)) return undefined
    return new Promise((resolve) => process[name].once('drain', resolve))
  }

  /** Each event is told once, at its time: a guest that says another has broken the protocol. */
  said(line: string): void {
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
    this.#stopWaiting()
    if (event === 'hello' && !this.#hasGreeted) this.#hasGreeted = true
    else if ((event === 'ready' || event === 'failed') && this.#state === 'starting') {
      this.#startedOr(event, typeof rc === 'number' ? rc : 0, text)
    } else if (event === 'died' && this.#state !== 'failed') {
      this.#reason = text
      this.#process.kill()
    } else if (event === 'closed' && this.#closing) {
      this.#process.closed()
    } else {
      this.#tenant.breach(new Breach(`its process says '${line.slice(0, 200).trimEnd()}'`))
    }
  }

  #startedOr(event: 'ready' | 'failed', rc: number, payload: string): void {
    this.#state = event
    this.#process.started()
    if (event === 'ready') {
      this.#process.hold(false)
      this.#tenant.event('ready', rc, payload)
      return
    }
    this.#failure = () => this.#tell('failed', payload, rc)
    this.#process.expectEnd()
    if (this.#settings.shared === false) this.#tellFailure()
  }

  /** One that is found by a name is found until it has ended: who hears of the failure before finds the same again. */
  #tellFailure(): void {
    this.#failure?.()
    this.#failure = undefined
  }

  ended(how: string, exit: GuestExit): void {
    this.#stopWaiting()
    this.mayRead = exit.code === null && exit.signal === null
    if (this.#state === 'failed') this.#tellFailure()
    // It was told to end, and has; or had to be ended, which nobody waits for.
    else if (this.#closing && this.#reason === undefined) this.#tell('closed', '')
    else this.#gone(how, exit)
  }

  /** The process has ended and was not to. */
  #gone(how: string, exit: GuestExit): void {
    const [event, when] = this.#state === 'ready' ? (['died', ''] as const) : (['failed', ' while it started'] as const)
    const reason = this.#reason
    const why = reason instanceof Error ? `: ${reason.message}` : ''
    const last = exit.lines.length === 0 ? '' : `; it wrote last:\n${exit.lines.join('\n')}`
    const process = this.pid === undefined ? 'its process' : `its process ${this.pid}`
    const message = `${process} ${how}${when}${why}${last}`
    this.#tell(event, isSaid(reason) ? reason : JSON.stringify({ type: '', message, exit }))
  }

  refused(code: PolyloopErrorCode, message: string): void {
    this.#state = 'failed'
    this.#tell('failed', JSON.stringify({ type: 'PolyloopError', code, message }))
  }

  #tell(event: BindingEvent, payload: string, rc = 0): void {
    this.#tenant.event(event, rc, payload)
    native.remove(this.#id, this.mayRead ? 1 : 0)
  }
}

/** Whether the guest itself has said why it dies, as an error object. */
function isSaid(reason: Error | string | undefined): reason is string {
  return typeof reason === 'string' && reason !== ''
}

/** How a process has ended, in words. */
export function howOf({ code, signal }: GuestExit): string {
  if (signal !== null) return `was killed by ${signal}`
  return code === null ? 'cannot be ended' : `exited with code ${code}`
}

/** The code and the message for a program that cannot be run. */
export function unrunnable(program: string, isMissing: boolean, message: string): [PolyloopErrorCode, string] {
  const what = isMissing ? `there is no program '${program}'` : `'${program}' cannot be run: ${message}`
  return [isMissing ? 'not-found' : 'init-failed', `${what}: correct the path, or the option python or venv`]
}
