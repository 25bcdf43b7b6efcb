// SPDX-License-Identifier: Apache-2.0
import { Breach, type GuestExit, PolyloopError } from '../common/errors.ts'
import { guestOptions, type Settings } from '../common/options.ts'
import { refusalOf, toPolyloop } from '../common/reasons.ts'
import type { GuestStart } from '../guests/start.ts'
import { native } from '../native/addon.ts'
import { hold, release } from '../native/keep-alive.ts'
import { toSaid } from './lifeline.ts'
import type { InstanceEvent, OnInstanceEvent, Placement } from './placement.ts'

/** Milliseconds in which a process must have greeted: a program that is something else never does. */
const greetingWithin = 20_000

/** The exit code of a process of ours that cannot serve: `crates/guest-process/src/lib.rs`, `guests/python/programs/process.py`. */
const cannotServe = 70

const strange = "it does not speak as a guest's process does"

/** The process that a guest runs in: one of its own, or one that serves other hosts, too. */
export interface GuestProcess {
  /** Its number, once that is known. */
  readonly pid: number | undefined
  /** Starts it, or finds it. `fresh`: not one that others have. */
  begin(fresh: boolean): void
  /** Says something over the lifeline. */
  write(text: string): void
  /** It has told how its start went. Returns the words that its idle threads park on, if it shares them with others. */
  started(): ArrayBuffer | undefined
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

/** A guest in another process: what they say to each other over the lifeline. */
export class ProcessPlacement implements Placement {
  readonly isRemote = true
  mayRead = true
  readonly #id: number
  readonly #guest: GuestStart
  readonly #settings: Settings
  readonly #tell: OnInstanceEvent
  readonly #process: GuestProcess
  /** Why it was killed, or says that it dies. */
  #reason: Error | string | undefined
  /** What it has said of its start. */
  #state: 'starting' | 'ready' | 'failed' = 'starting'
  /** Why it did not start, while nobody was told of that. */
  #failure: PolyloopError | undefined
  #parkingWords: ArrayBuffer | undefined
  #greeting: NodeJS.Timeout | undefined
  #hasGreeted = false
  #closing = false

  /** @param toProcess - makes the process, which tells what happens to it */
  constructor(
    id: number,
    guest: GuestStart,
    settings: Settings,
    tell: OnInstanceEvent,
    toProcess: (onEvent: OnInstanceEvent) => GuestProcess,
  ) {
    this.#id = id
    this.#guest = guest
    this.#settings = settings
    this.#tell = tell
    this.#process = toProcess((event) => this.#onEvent(event))
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  begin(fresh: boolean): () => void {
    hold(this, 'a guest process starts')
    try {
      this.#process.begin(fresh)
    } catch (error) {
      release(this)
      throw toPolyloop(error, 'the process of the guest cannot be started')
    }
    return () => {}
  }

  parkingWords(): ArrayBuffer | undefined {
    return this.#parkingWords
  }

  takeOver(): Promise<void> {
    return this.#process.takeOver()
  }

  #onEvent(event: InstanceEvent): void {
    switch (event.type) {
      case 'line':
        this.#said(event.line)
        break
      case 'ended':
        this.#ended(event.how, event.exit)
        break
      case 'refused':
        this.#refused(new PolyloopError(event.code, event.message))
        break
      case 'reached':
        this.#reached()
        this.#tell(event)
        break
      default:
        this.#tell(event)
    }
  }

  #refused(error: PolyloopError): void {
    this.#state = 'failed'
    release(this)
    this.#end({ type: 'failed', error })
  }

  #reached(): void {
    this.#stopWaiting()
    this.#hasGreeted = false
    // A loop that was busy for so long reads what has come before it judges.
    this.#greeting = setTimeout(() => setImmediate(() => this.#missGreeting()), greetingWithin)
    this.#process.write(`${this.#start()}\n`)
  }

  #missGreeting(): void {
    if (this.#greeting !== undefined) this.kill(new Error(strange))
  }

  #stopWaiting(): void {
    clearTimeout(this.#greeting)
    this.#greeting = undefined
  }

  #start(): string {
    const { library, loader } = this.#guest
    return JSON.stringify({ library, loader, ...guestOptions(this.#settings) })
  }

  close(): void {
    this.#closing = true
    hold(this, 'a guest process ends')
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

  end(): void {
    this.#closing = true
    hold(this, 'a guest process ends')
    this.#process.abandon()
  }

  /** What it printed comes by itself. */
  flushLog(): void {}

  /** Each event is told once, at its time: a guest that says another has broken the protocol. */
  #said(line: string): void {
    // It is being ended already.
    if (this.#reason !== undefined) return
    const { event, rc, payload } = toSaid(line)
    this.#stopWaiting()
    if (event === 'hello' && !this.#hasGreeted) this.#hasGreeted = true
    else if ((event === 'ready' || event === 'failed') && this.#state === 'starting') {
      this.#started(event, rc, payload)
    } else if (event === 'died' && this.#state !== 'failed') {
      this.#reason = payload
      this.#process.kill()
    } else if (event === 'closed' && this.#closing) {
      this.#process.closed()
    } else {
      this.#tell({ type: 'breach', error: new Breach(`its process says '${line.slice(0, 200).trimEnd()}'`) })
    }
  }

  #started(event: 'ready' | 'failed', rc: number, payload: string): void {
    try {
      this.#parkingWords = this.#process.started()
    } catch (error) {
      // It is not what this host has joined.
      this.kill(error as Error)
      return
    }
    this.#state = event
    if (event === 'ready') {
      release(this)
      this.#tell({ type: 'ready', manifest: payload })
      return
    }
    this.#failure = PolyloopError.fromGuest('init-failed', payload, rc)
    this.#process.expectEnd()
    // A process that is found by a name is found until it has ended: who heard of the failure before
    // that would find the same one again.
    if (this.#settings.shared === false) this.#tellFailure()
  }

  #tellFailure(): void {
    const error = this.#failure
    this.#failure = undefined
    if (error !== undefined) this.#end({ type: 'failed', error })
  }

  #ended(how: string, exit: GuestExit): void {
    this.#stopWaiting()
    this.mayRead = exit.code === null && exit.signal === null
    if (this.#state === 'failed') {
      release(this)
      this.#tellFailure()
    }
    // It was told to end, and has; or had to be ended, which nobody waits for.
    else if (this.#closing && this.#reason === undefined) this.#end({ type: 'closed' })
    else this.#gone(how, exit)
  }

  /** The process has ended and was not to. */
  #gone(how: string, exit: GuestExit): void {
    const wasReady = this.#state === 'ready'
    const reason = this.#reason
    const why = reason instanceof Error ? `: ${reason.message}` : ''
    const last = exit.lines.length === 0 ? '' : `; it wrote last:\n${exit.lines.join('\n')}`
    const process = this.pid === undefined ? 'its process' : `its process ${this.pid}`
    // Our own program says what the system has refused it. A program that is something else may end before anybody wonders.
    const refusal = !wasReady && exit.code === cannotServe ? refusalOf(exit.lines.at(-1)) : undefined
    const usual = wasReady || this.#hasGreeted ? undefined : this.#guest.advice
    const advice = refusal?.advice ?? usual
    const end = advice === undefined ? '' : `; ${advice}`
    const message = `${process} ${how}${wasReady ? '' : ' while it started'}${why}${last}${end}`
    const code = wasReady ? 'guest-crashed' : (refusal?.code ?? 'init-failed')
    const error = isSaid(reason)
      ? PolyloopError.fromGuest(code, reason, wasReady ? undefined : 0)
      : new PolyloopError(code, message, { exit })
    this.#end({ type: wasReady ? 'died' : 'failed', error })
  }

  /** The last event of this instance. */
  #end(event: InstanceEvent): void {
    // A process whose start has failed is waited for until it has ended.
    if (this.#state !== 'failed') release(this)
    this.#tell(event)
    native.removeConnection(this.#id, this.mayRead ? 1 : 0)
  }
}

/** Whether the guest itself has said why it dies, as an error object. */
function isSaid(reason: Error | string | undefined): reason is string {
  return typeof reason === 'string' && reason !== ''
}
