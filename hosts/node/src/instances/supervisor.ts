// SPDX-License-Identifier: Apache-2.0

import type { Dispatcher } from '../call/dispatcher.ts'
import { callBack } from '../common/call-back.ts'
import { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import type { Manifest } from '../common/manifest.ts'
import type { Settings } from '../common/options.ts'
import { longestTimer } from '../common/timers.ts'
import type { GuestStart } from '../guests/start.ts'
import type { InstanceEvent } from '../placement/placement.ts'
import type { RequestHeap } from '../ring/request-heap.ts'
import { Heartbeat } from './heartbeat.ts'
import { type Common, Instance } from './instance.ts'
import { Replica } from './replica.ts'
import { Rollout, type Round, type Supervised } from './rollout.ts'

/** The instances of a runtime: starts them, and starts them again when they die. */
export class Supervisor implements Supervised {
  /** What the instances declare, once they are ready. */
  manifest: Manifest | undefined
  /** Why there are none any more and will be none. */
  failure: (() => PolyloopError) | undefined
  restarts = 0
  isClosing = false
  /** Puts newer instances in their place. */
  readonly rollout: Rollout
  readonly replicas: readonly Replica[]
  readonly #common: Common
  readonly #settings: Settings
  readonly #dispatcher: Dispatcher
  #guest: GuestStart | undefined
  /** Those that are there, whatever their state: they start, serve, or have calls in flight still. */
  readonly #instances = new Set<Instance>()

  constructor(name: string, settings: Settings, dispatcher: Dispatcher, requests: RequestHeap) {
    this.#common = { name, settings, dispatcher, requests }
    this.#settings = settings
    this.#dispatcher = dispatcher
    this.replicas = Array.from({ length: settings.instances }, (_, index) => new Replica(index, settings.restart))
    this.rollout = new Rollout(name, this)
  }

  /** Those that are there, in the order of their replicas, and those that serve first. */
  get instances(): readonly Instance[] {
    const isServing = (instance: Instance): number => (this.replicas[instance.index]?.serving === instance ? 0 : 1)
    return [...this.#instances].sort((a, b) => isServing(a) - isServing(b) || a.index - b.index)
  }

  /**
   * Starts all instances.
   *
   * @throws not-found, init-failed, protocol: why the first of them did not start; then there are none
   */
  async start(guest: GuestStart): Promise<void> {
    this.#guest = guest
    try {
      const deaths = await Promise.all(this.replicas.map((replica) => this.#begin(replica)))
      const death = deaths.find((error) => error !== undefined)
      if (death !== undefined) throw PolyloopError.from('init-failed', death)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /**
   * Starts an instance in a replica; it takes calls when it is ready. Returns how it has died, if it did as soon as it
   * was ready.
   */
  async #begin(replica: Replica): Promise<PolyloopError | undefined> {
    const instance = await this.launch(replica, false)
    // A reload has put another one there meanwhile.
    if (instance.failure !== undefined || replica.serving !== undefined) this.retire(instance)
    else if (!this.isClosing) this.#serve(replica, instance)
    return replica.serving === undefined ? instance.failure : undefined
  }

  launch(replica: Replica, fresh: boolean, round?: Round): Promise<Instance> {
    return replica.whileStarting(() => {
      const started = this.#start(replica, fresh, round)
      if (round === undefined) return started
      // Nobody waits for it once it is given up.
      started.catch(() => {})
      return Promise.race([started, round.abandoned.promise])
    })
  }

  async #start(replica: Replica, fresh: boolean, round: Round | undefined): Promise<Instance> {
    if (this.isClosing) throw this.unloaded()
    if (round?.failure !== undefined) throw round.failure
    const { index } = replica
    const instance: Instance = new Instance(this.#common, index, this.#guest as GuestStart, this.manifest, (event) =>
      this.#onEvent(replica, instance, event),
    )
    this.#instances.add(instance)
    if (round !== undefined) round.instance = instance
    void instance.gone.promise.then(() => this.#instances.delete(instance))
    instance.begin(fresh)
    const watch = this.#watchStart(replica, instance)
    try {
      await instance.placed.promise
      this.emit({ type: 'starting', instance: index, pid: instance.pid })
      await instance.started.promise
      return instance
    } catch (error) {
      throw this.isClosing ? this.unloaded() : error
    } finally {
      clearTimeout(watch)
    }
  }

  /** A ready instance takes calls from now on. Returns the one in whose place it comes, if there was one. */
  #serve(replica: Replica, instance: Instance): Instance | undefined {
    const before = replica.settle(instance)
    this.failure = undefined
    this.manifest = instance.connection.manifest
    this.#dispatcher.add(instance.connection)
    if (before !== undefined) this.#dispatcher.remove(before.connection)
    this.emit({ type: replica.deaths > 0 ? 'restarted' : 'ready', instance: replica.index, pid: instance.pid })
    if (this.#settings.heartbeat > 0) this.#watch(replica, instance)
    this.rollout.act()
    this.rollout.follow()
    return before
  }

  replace(replica: Replica, instance: Instance): void {
    // RELOAD 4 replace
    replica.forgive()
    const before = this.#serve(replica, instance)
    if (before !== undefined) this.retire(before)
  }

  #watch(replica: Replica, instance: Instance): void {
    const { heartbeat } = this.#settings
    const message = `it has not been able to run code for ${heartbeat} ms (the option heartbeat)`
    const beats = new Heartbeat(instance.connection.beats, heartbeat, () => this.#hangs(replica, instance, message))
    void instance.gone.promise.then(() => beats.stop())
  }

  /** Watches a start that nobody may wait for: its import, or `init`, may never be over. */
  #watchStart(replica: Replica, instance: Instance): NodeJS.Timeout | undefined {
    const within = replica.startTimeout
    if (within > longestTimer) return undefined
    const message = `it has not started within ${within} ms (the option restart.timeout): its import or init hangs`
    return setTimeout(() => this.#hangs(replica, instance, message), within).unref()
  }

  #hangs({ index }: Replica, instance: Instance, message: string): void {
    this.emit({ type: 'hung', instance: index, pid: instance.pid, error: new PolyloopError('deadline', message) })
    if (this.#settings.whenHung === 'kill') instance.kill(new Error(message))
  }

  /** Tells that what starts has not in time. */
  tellHung(error: PolyloopError): void {
    const hung = this.instances.filter(({ state }) => state === 'starting')
    for (const { index, pid } of hung) this.emit({ type: 'hung', instance: index, pid, error })
    // An interpreter is asked what it is.
    if (hung.length === 0) this.emit({ type: 'hung', instance: 0, error })
  }

  #onEvent(replica: Replica, instance: Instance, event: InstanceEvent): void {
    if (event.type === 'died') this.#died(replica, instance, event.error)
    else if (event.type === 'moved') this.rollout.follow()
    else if (event.type === 'first') this.rollout.act()
  }

  #died(replica: Replica, instance: Instance, error: PolyloopError): void {
    this.emit({ type: 'crashed', instance: replica.index, pid: instance.pid, error })
    // One that was replaced is not missed, and who has launched one that did not serve yet finds it dead.
    if (replica.serving !== instance) return
    replica.serving = undefined
    this.#restart(replica, error)
  }

  #restart(replica: Replica, error: PolyloopError): void {
    if (this.isClosing) return
    if (replica.restart(() => void this.#again(replica))) return
    // DEATH 6 give up
    this.emit({ type: 'gave-up', instance: replica.index, error })
    this.failIfGone(error)
  }

  async #again(replica: Replica): Promise<void> {
    // DEATH 5 start again
    this.restarts++
    try {
      const death = await this.#begin(replica)
      if (death === undefined) this.rollout.restarted(replica)
      else this.#restart(replica, death)
    } catch (error) {
      // If one serves, a reload has put it there.
      if (this.isClosing || replica.serving !== undefined) return
      this.emit({ type: 'crashed', instance: replica.index, error: error as PolyloopError })
      this.#restart(replica, error as PolyloopError)
    }
  }

  failIfGone(error: PolyloopError): void {
    if (this.isClosing || this.replicas.some(({ isOccupied }) => isOccupied)) return
    const { placement, restart } = this.#settings
    const deaths = Math.max(...this.replicas.map((replica) => replica.deaths))
    const isGivenUp = placement === 'process' && restart.attempts > 0
    const died = ` has died${isGivenUp ? ` ${deaths} times in a row, and is not started again but by reload() or load()` : ''}: `
    const { exit, guest } = error
    // What could not even be started says so.
    const why = error.message.replace(/^.*? has died: /, '')
    this.failure = () =>
      new PolyloopError('guest-crashed', `${this.#common.name}${died}${why}`, {
        cause: error,
        ...(exit !== undefined && { exit }),
        ...(guest !== undefined && { guest }),
      })
    this.#dispatcher.fail(this.failure)
  }

  retire(instance: Instance): void {
    for (const replica of this.replicas) if (replica.serving === instance) replica.serving = undefined
    void instance.close()
  }

  /** Ends all instances, which have no calls in flight that somebody waits for. */
  async close(): Promise<void> {
    this.isClosing = true
    for (const replica of this.replicas) replica.stop()
    await Promise.all(this.instances.map((instance) => instance.close()))
    await this.rollout.over()
    this.#common.requests.close()
  }

  /** Waits for no instance any more: those that can be ended are. */
  end(): void {
    for (const instance of this.#instances) instance.end()
  }

  /** Why something is not done any more. */
  unloaded(): PolyloopError {
    return new PolyloopError('unloaded', `${this.#common.name} is unloaded: load it again`)
  }

  emit(event: RuntimeEvent): void {
    callBack(() => this.#settings.onEvent?.(event))
  }
}
