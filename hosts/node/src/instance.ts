// SPDX-License-Identifier: Apache-2.0
import { Block } from './block.ts'
import { OwnProcess } from './child.ts'
import { type Deferred, deferred } from './deferred.ts'
import { Breach, PolyloopError } from './errors.ts'
import type { GuestStart, Home, Tenant } from './home.ts'
import { type HubMember, join, leave, nextId, open } from './hub.ts'
import type { Lobby } from './lobby.ts'
import { Manifest } from './manifest.ts'
import { type BindingEvent, native } from './native.ts'
import type { Settings } from './options.ts'
import { type GuestProcess, RemoteHome, type Witness } from './remote.ts'
import { SharedProcess } from './shared.ts'
import { Tasks } from './tasks.ts'
import { ThreadHome } from './thread.ts'

/** `dead`: it takes no more calls, and is still there, because threads cannot be ended from outside. */
type State = 'starting' | 'ready' | 'dead' | 'closing' | 'gone'

/** Who is told what becomes of an instance. */
export interface Landlord {
  /** Why it died, after its calls were rejected; not where it was closed. */
  died(error: PolyloopError): void
  /** Other hosts have a newer one: {@link Instance.hasMoved}. */
  moved(): void
  /** This host is the one to act on changes of its code: {@link Instance.firstSince}. */
  first(): void
}

/** One guest with its rings: a runtime has one, or several, and others after it. */
export class Instance implements HubMember, Tenant {
  readonly id: number
  readonly tasks: Tasks
  /** Resolves when its process is known, where it is to have one, and when it will not start. */
  readonly placed: Deferred<void> = deferred()
  readonly started: Deferred<Manifest> = deferred()
  /** Resolves when the guest is gone, whatever the reason. */
  readonly gone: Deferred<void> = deferred()
  /** Whether a newer guest is in the place of this one, which is shared. */
  hasMoved = false
  /** When its code was read at the earliest, where this host is the one to act on changes of it. */
  firstSince: number | undefined
  readonly #name: string
  readonly #home: Home
  readonly #lobby: Lobby
  readonly #known: Manifest | undefined
  readonly #landlord: Landlord
  #state: State = 'starting'
  /** It has broken a rule of the rings. */
  #broken = false
  /** Made once: a drain is as frequent as a call. */
  readonly #onLog = (): void => this.flushLog()

  /**
   * @param index - its number in the runtime
   * @param known - the manifest of an earlier instance: the same one is one object
   */
  constructor(
    name: string,
    index: number,
    guest: GuestStart,
    settings: Settings,
    lobby: Lobby,
    known: Manifest | undefined,
    landlord: Landlord,
  ) {
    this.#name = name
    this.#lobby = lobby
    this.#known = known
    this.#landlord = landlord
    open()
    this.id = nextId()
    const { maxCalls, maxPayload, spin, placement, shared, drainTimeout } = settings
    const isRemote = placement === 'process'
    const options = { maxCalls, maxPayload, spin, process: isRemote, requests: lobby.memory.open() }
    const block = new Block(native.createConnection(this.id, JSON.stringify(options)))
    this.tasks = new Tasks(this.id, block, settings, lobby, (error) => this.breach(error))
    const toProcess = (witness: Witness): GuestProcess =>
      shared === false
        ? new OwnProcess(this.id, guest.command, drainTimeout, witness)
        : new SharedProcess(this.id, block, guest, settings, index, witness)
    this.#home = isRemote
      ? new RemoteHome(this.id, name, guest, settings, this, toProcess)
      : new ThreadHome(this.id, name, guest, settings, known !== undefined)
    join(this.id, this)
  }

  get pid(): number | undefined {
    return this.#home.pid
  }

  get state(): State {
    return this.#state
  }

  /** Starts it. `anew`: where others share one, not that one. */
  begin(anew: boolean): void {
    try {
      const settled = this.#home.begin(anew)
      const over = (): void => {
        settled()
        this.placed.resolve()
      }
      this.started.promise.then(over, over)
      if (!this.#home.isRemote) this.placed.resolve()
    } catch (error) {
      native.removeConnection(this.id, 0)
      this.#leave()
      throw error
    }
  }

  /** Where others share one, puts this one in its place: they are told. */
  takeOver(): Promise<void> {
    return this.#home.takeOver()
  }

  reached(): void {
    this.placed.resolve()
  }

  moved(): void {
    this.hasMoved = true
    this.#landlord.moved()
  }

  first(since: number): void {
    this.firstSince = since
    this.#landlord.first()
  }

  drain(limit: number): boolean {
    if (this.#broken) return this.tasks.skip()
    try {
      return this.tasks.drain(limit, this.#onLog)
    } catch (error) {
      // What cannot be drained is the doing of whoever wrote it.
      if (error instanceof Breach) this.breach(error)
      else if (this.#home.isRemote) this.breach(new Breach(`it cannot be read: ${(error as Error).message}`, error))
      else throw error
      return false
    }
  }

  flushLog(): void {
    this.#home.flushLog()
  }

  /** Tells what it printed last. A process ends with its host by itself, unless it does not want to. */
  exit(): void {
    this.flushLog()
    this.#home.abandon(new Error('its host has ended'))
  }

  /** Nothing that it says is believed any more: its calls are rejected, and where it can be ended it is. */
  breach(error: Error): void {
    if (this.#broken) return
    this.#broken = true
    this.#home.kill(error)
    if (!this.#home.isRemote) this.#die(PolyloopError.from('guest-crashed', error))
  }

  /** Ends a guest that hangs. */
  kill(reason: Error): void {
    this.#home.kill(reason)
  }

  /** Lets calls in flight finish, then ends the guest. */
  async close(): Promise<void> {
    if (this.#state === 'starting') {
      this.#home.abandon(new Error('it was unloaded while it started'))
      await this.started.promise.catch(() => {})
    }
    if (this.#state === 'ready') await new Promise<void>((resolve) => this.tasks.whenIdle(resolve))
    if (this.#state === 'ready' || this.#state === 'dead') {
      this.#state = 'closing'
      this.#home.close()
    }
    await this.gone.promise
  }

  event(kind: BindingEvent, rc: number, payload: string): void {
    if (kind === 'ready') this.#ready(payload)
    else if (kind === 'failed') this.#failed(rc, payload)
    else if (kind === 'died') this.#died(payload)
    else this.#leave()
  }

  #ready(text: string): void {
    try {
      this.tasks.manifest = this.#known?.text === text ? this.#known : new Manifest(text)
    } catch (cause) {
      const message = `the manifest of ${this.#name} cannot be read: ${text.slice(0, 200)}`
      this.#state = 'closing'
      this.#home.close()
      this.started.reject(new PolyloopError('protocol', message, { cause }))
      return
    }
    this.#state = 'ready'
    this.started.resolve(this.tasks.manifest)
  }

  #failed(rc: number, payload: string): void {
    const error = PolyloopError.fromGuest('init-failed', payload, rc)
    error.message = `${this.#name} could not be loaded: ${error.message}`
    this.#leave()
    this.started.reject(error)
  }

  #died(payload: string): void {
    // What it answered before its death counts.
    while (this.drain(Number.POSITIVE_INFINITY));
    this.#die(PolyloopError.fromGuest('guest-crashed', payload))
  }

  #die(failure: PolyloopError): void {
    if (this.#state === 'gone' || this.#state === 'dead') return
    const { message, guest, exit } = failure
    const error = (): PolyloopError =>
      new PolyloopError('guest-crashed', `${this.#name} has died: ${message}`, {
        cause: failure,
        ...(guest !== undefined && { guest }),
        ...(exit !== undefined && { exit }),
      })
    this.#lobby.remove(this.tasks)
    this.tasks.fail(error)
    if (this.#home.isRemote) this.#leave()
    else this.#state = 'dead'
    this.#landlord.died(error())
  }

  #leave(): void {
    this.#state = 'gone'
    leave(this.id)
    this.tasks.takeBack(this.#home.mayRead)
    this.gone.resolve()
  }
}
