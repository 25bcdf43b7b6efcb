// SPDX-License-Identifier: Apache-2.0

import type { Dispatcher } from '../call/dispatcher.ts'
import { type Deferred, deferred } from '../common/deferred.ts'
import { Breach, PolyloopError } from '../common/errors.ts'
import { Manifest } from '../common/manifest.ts'
import type { Settings } from '../common/options.ts'
import { toPolyloop } from '../common/reasons.ts'
import type { GuestStart } from '../guests/start.ts'
import { type BindingEvent, native } from '../native/addon.ts'
import { type HubMember, join, leave, nextId, open } from '../native/hub.ts'
import { OwnProcess } from '../placement/own-process.ts'
import { fromAddon, type InstanceEvent, type OnInstanceEvent, type Placement } from '../placement/placement.ts'
import { Printer } from '../placement/printer.ts'
import { type GuestProcess, ProcessPlacement } from '../placement/process.ts'
import { SharedProcess } from '../placement/shared-process.ts'
import { ThreadPlacement } from '../placement/threads.ts'
import { Block } from '../ring/block.ts'
import { Connection, type ConnectionListener } from '../ring/connection.ts'
import type { RequestHeap } from '../ring/request-heap.ts'

/** `dead`: it takes no more calls, and still exists, because threads cannot be ended from outside. */
type State = 'starting' | 'ready' | 'dead' | 'closing' | 'gone'

/** What the instances of a runtime have in common. */
export interface Common {
  /** The runtime's name, for messages. */
  readonly name: string
  readonly settings: Settings
  readonly dispatcher: Dispatcher
  readonly requests: RequestHeap
}

/** One guest with its rings: a runtime has one, or several, and others after it. */
export class Instance implements HubMember, ConnectionListener {
  readonly id: number
  /** Its number in the runtime. */
  readonly index: number
  readonly connection: Connection
  /** Resolves when its process is known, if it is to have one, and when it will not start. */
  readonly placed: Deferred<void> = deferred()
  readonly started: Deferred<Manifest> = deferred()
  /** Resolves when the guest is gone, whatever the reason. */
  readonly gone: Deferred<void> = deferred()
  /** Why it has died. */
  failure: PolyloopError | undefined
  /** Whether a newer guest is in the place of this one, which is shared. */
  hasMoved = false
  /** When its code was read at the earliest, if this host is the one to act on changes of it. */
  firstSince: number | undefined
  readonly #name: string
  readonly #block: Block
  readonly #placement: Placement
  readonly #dispatcher: Dispatcher
  readonly #known: Manifest | undefined
  readonly #tell: OnInstanceEvent
  #state: State = 'starting'
  #closing: Promise<void> | undefined
  /** It has broken a rule of the rings. */
  #broken = false

  /**
   * @param index - its number in the runtime
   * @param known - the manifest of an earlier instance: the same one is one object
   * @param tell - told `died`, after its calls were rejected and not if it was closed, and `moved` and `first`
   */
  constructor(
    { name, settings, dispatcher, requests }: Common,
    index: number,
    guest: GuestStart,
    known: Manifest | undefined,
    tell: OnInstanceEvent,
  ) {
    this.index = index
    this.#name = name
    this.#dispatcher = dispatcher
    this.#known = known
    this.#tell = tell
    open()
    this.id = nextId()
    const { maxCalls, maxPayload, spin, placement, shared, drainTimeout } = settings
    const isRemote = placement === 'process'
    const options = { maxCalls, maxPayload, spin, process: isRemote, requests: requests.open(isRemote) }
    this.#block = new Block(native.createConnection(this.id, JSON.stringify(options)))
    const { id } = this
    this.connection = orRemove(id, () => new Connection(id, this.#block, settings, dispatcher, requests, this))
    const printer = new Printer(name, settings.log)
    void this.gone.promise.then(() => printer.end())
    const toProcess = (onEvent: OnInstanceEvent): GuestProcess =>
      shared === false
        ? new OwnProcess(this.id, guest, drainTimeout, printer, onEvent)
        : new SharedProcess(this.id, guest, settings, index, printer, onEvent)
    this.#placement = orRemove(id, () =>
      isRemote
        ? new ProcessPlacement(id, guest, settings, (event) => this.onEvent(event), toProcess)
        : new ThreadPlacement(id, guest, settings, printer, known !== undefined),
    )
    join(this.id, this)
  }

  get pid(): number | undefined {
    return this.#placement.pid
  }

  get state(): State {
    return this.#state
  }

  /**
   * Starts it.
   *
   * @param fresh - a new one with the current code, even if others share one
   * @throws why there can be none
   */
  begin(fresh: boolean): void {
    try {
      const settled = this.#placement.begin(fresh)
      const over = (): void => {
        settled()
        this.placed.resolve()
      }
      this.started.promise.then(over, over)
      if (!this.#placement.isRemote) this.placed.resolve()
    } catch (error) {
      native.removeConnection(this.id, 0)
      this.#leave()
      throw error
    }
  }

  /** If others share one, puts this one in its place: they are told. */
  takeOver(): Promise<void> {
    return this.#placement.takeOver()
  }

  drain(limit: number): boolean {
    if (this.#broken) {
      this.connection.skip()
      return false
    }
    try {
      return this.connection.drain(limit)
    } catch (error) {
      // What cannot be drained is the doing of whoever wrote it.
      if (error instanceof Breach) this.breached(error)
      else if (this.#placement.isRemote)
        this.breached(new Breach(`it cannot be read: ${(error as Error).message}`, error))
      else throw error
      return false
    }
  }

  logged(): void {
    this.#placement.flushLog()
  }

  /** Tells what it printed last. A process ends with its host by itself, unless it does not want to. */
  exit(): void {
    this.#placement.flushLog()
    this.#placement.abandon(new Error('its host has ended'))
  }

  /** Nothing that it says is believed any more: its calls are rejected, and if it can be ended it is. */
  breached(error: Error): void {
    if (this.#broken) return
    this.#broken = true
    this.#placement.kill(error)
    if (!this.#placement.isRemote) this.#die(PolyloopError.from('guest-crashed', error))
  }

  /** Ends a guest that hangs. */
  kill(reason: Error): void {
    this.#placement.kill(reason)
  }

  /** Lets calls that somebody waits for finish, then ends the guest. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#state === 'starting') {
      this.#placement.abandon(new Error('it was unloaded while it started'))
      await this.started.promise.catch(() => {})
    }
    // RELOAD 5 retire
    if (this.#state === 'ready') await this.connection.settled()
    // A process has its time to end, whatever was abandoned there; threads cannot be ended.
    if (this.#state === 'ready' && !this.#placement.isRemote) await this.connection.idle()
    this.#tellToEnd()
    await this.gone.promise
  }

  /** Does not wait for the guest any more: ends it at once, or leaves it to others. Threads end when they return. */
  end(): void {
    void this.close()
    if (this.#state === 'gone') return
    // Of a process that others share, who leaves in order is waited for.
    if (!this.#placement.isRemote) this.#tellToEnd()
    if (this.#state !== 'starting') this.#state = 'closing'
    this.#placement.end()
  }

  #tellToEnd(): void {
    if (this.#state !== 'ready' && this.#state !== 'dead') return
    this.#state = 'closing'
    this.#placement.close()
  }

  /** What the add-on tells of a guest on threads. */
  event(kind: BindingEvent, rc: number, payload: string): void {
    this.onEvent(fromAddon(kind, rc, payload))
  }

  onEvent(event: InstanceEvent): void {
    if (event.type === 'reached') this.placed.resolve()
    else if (event.type === 'ready') this.#ready(event.manifest)
    else if (event.type === 'failed') this.#failed(event.error)
    else if (event.type === 'died') this.#died(event.error)
    else if (event.type === 'closed') this.#leave()
    else if (event.type === 'breach') this.breached(event.error)
    else {
      if (event.type === 'moved') this.hasMoved = true
      if (event.type === 'first') this.firstSince = event.since
      this.#tell(event)
    }
  }

  #ready(text: string): void {
    try {
      this.connection.manifest = this.#known?.text === text ? this.#known : new Manifest(text)
    } catch (cause) {
      const message = `the manifest of ${this.#name} cannot be read: ${text.slice(0, 200)}; ${(cause as Error).message}`
      this.#state = 'closing'
      this.#placement.close()
      this.started.reject(new PolyloopError('protocol', message, { cause }))
      return
    }
    this.#block.parkOn(this.#placement.parkingWords())
    this.#state = 'ready'
    for (const warning of this.connection.manifest.warnings) process.emitWarning(warning, 'PolyloopGuest')
    this.started.resolve(this.connection.manifest)
  }

  #failed(error: PolyloopError): void {
    error.message = `${this.#name} could not be loaded: ${error.message}`
    this.#leave()
    this.started.reject(error)
  }

  #died(error: PolyloopError): void {
    // DEATH 2 drain
    // What it answered before its death counts.
    while (this.drain(Number.POSITIVE_INFINITY));
    this.#die(error)
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
    this.failure = error()
    this.#rejectCalls(error)
    if (this.#placement.isRemote) this.#leave()
    else this.#state = 'dead'
    this.#tell({ type: 'died', error: this.failure })
  }

  /** It answers nothing more. What waits goes to others, if there are any. */
  #rejectCalls(error: () => PolyloopError): void {
    this.#dispatcher.remove(this.connection)
    this.connection.fail(error)
  }

  #leave(): void {
    this.#state = 'gone'
    leave(this.id)
    this.#rejectCalls(() => new PolyloopError('unloaded', `${this.#name} was unloaded before it had answered`))
    this.connection.takeBack(this.#placement.mayRead)
    this.gone.resolve()
  }
}

/** Makes what a connection of the add-on needs; if that fails, the add-on forgets the connection. */
function orRemove<T>(id: number, make: () => T): T {
  try {
    return make()
  } catch (error) {
    native.removeConnection(id, 0)
    throw toPolyloop(error, 'an instance cannot be made')
  }
}
