// SPDX-License-Identifier: Apache-2.0

import type { Dispatcher } from '../call/dispatcher.ts'
import { callBack } from '../common/call-back.ts'
import { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import type { Manifest } from '../common/manifest.ts'
import type { Settings } from '../common/options.ts'
import type { GuestStart } from '../guests/start.ts'
import type { InstanceEvent } from '../placement/placement.ts'
import type { RequestHeap } from '../ring/request-heap.ts'
import { Heartbeat } from './heartbeat.ts'
import { type Common, Instance } from './instance.ts'
import { Replica } from './replica.ts'
import { Rollout, type Supervised } from './rollout.ts'

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
  /** Those that are in no replica: they start, or have been replaced and have calls in flight still. */
  readonly #others = new Set<Instance>()

  constructor(name: string, settings: Settings, dispatcher: Dispatcher, requests: RequestHeap) {
    this.#common = { name, settings, dispatcher, requests }
    this.#settings = settings
    this.#dispatcher = dispatcher
    this.replicas = Array.from({ length: settings.instances }, (_, index) => new Replica(index, settings.restart))
    this.rollout = new Rollout(name, this)
  }

  /** Those that are there, whatever their state. */
  get instances(): readonly Instance[] {
    return [...new Set([...this.replicas.flatMap(({ instance }) => instance ?? []), ...this.#others])]
  }

  /**
   * Starts all instances.
   *
   * @throws not-found, init-failed, protocol: why the first of them did not start; then there are none
   */
  async start(guest: GuestStart): Promise<void> {
    this.#guest = guest
    try {
      await Promise.all(this.replicas.map((replica) => this.#begin(replica)))
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Starts an instance in a replica; it takes calls when it is ready. */
  async #begin(replica: Replica): Promise<void> {
    const instance = await this.launch(replica, false)
    const { instance: other } = replica
    // A reload has put another one there meanwhile.
    if (other !== instance && other?.state === 'ready') this.retire(instance)
    // It may have died as soon as it was ready: then another is on its way.
    else if (!this.isClosing && instance.state === 'ready') this.#serve(replica, instance)
    else this.#others.delete(instance)
  }

  async launch(replica: Replica, fresh: boolean): Promise<Instance> {
    const { index } = replica
    const instance: Instance = new Instance(this.#common, index, this.#guest as GuestStart, this.manifest, (event) =>
      this.#onEvent(replica, instance, event),
    )
    replica.instance ??= instance
    this.#others.add(instance)
    try {
      instance.begin(fresh)
      await instance.placed.promise
      this.emit({ type: 'starting', instance: index, pid: instance.pid })
      await instance.started.promise
      return instance
    } catch (error) {
      this.#others.delete(instance)
      if (replica.instance === instance) replica.instance = undefined
      throw error
    }
  }

  /** A ready instance takes calls from now on. Returns the one in whose place it comes, if there was one. */
  #serve(replica: Replica, instance: Instance): Instance | undefined {
    this.#others.delete(instance)
    const before = replica.settle(instance)
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
    const { heartbeat, whenHung } = this.#settings
    const beats = new Heartbeat(instance.connection.beats, heartbeat, () => {
      const { index } = replica
      const message = `it has not been able to run code for ${heartbeat} ms (the option heartbeat)`
      this.emit({ type: 'hung', instance: index, pid: instance.pid, error: new PolyloopError('deadline', message) })
      if (whenHung === 'kill') instance.kill(new Error(message))
    })
    void instance.gone.promise.then(() => beats.stop())
  }

  #onEvent(replica: Replica, instance: Instance, event: InstanceEvent): void {
    if (event.type === 'died') this.#died(replica, instance, event.error)
    else if (event.type === 'moved') this.rollout.follow()
    else if (event.type === 'first') this.rollout.act()
  }

  #died(replica: Replica, instance: Instance, error: PolyloopError): void {
    const { index } = replica
    this.emit({ type: 'crashed', instance: index, pid: instance.pid, error })
    // One that was replaced is not missed.
    if (replica.instance !== instance) return
    replica.instance = this.#settings.placement === 'process' ? undefined : instance
    this.#restart(replica, error)
  }

  #restart(replica: Replica, error: PolyloopError): void {
    if (this.isClosing) return
    if (!replica.restart(() => void this.#again(replica))) this.#giveUp(replica, error)
  }

  async #again(replica: Replica): Promise<void> {
    // DEATH 5 start again
    this.restarts++
    try {
      await this.#begin(replica)
      this.rollout.restarted(replica)
    } catch (error) {
      // If it is ready, a reload has put it there.
      if (this.isClosing || replica.instance?.state === 'ready') return
      this.emit({ type: 'crashed', instance: replica.index, error: error as PolyloopError })
      this.#restart(replica, error as PolyloopError)
    }
  }

  #giveUp(replica: Replica, error: PolyloopError): void {
    // DEATH 6 give up
    this.emit({ type: 'gave-up', instance: replica.index, error })
    if (this.replicas.some(({ isOccupied }) => isOccupied)) return
    const { placement, restart } = this.#settings
    const advice =
      placement === 'process' && restart.attempts > 0
        ? ` ${replica.deaths} times in a row, and is not started again`
        : ''
    const { message, exit, guest } = error
    this.failure = () =>
      new PolyloopError('guest-crashed', `${message.replace(/ has died: /, ` has died${advice}: `)}`, {
        cause: error,
        ...(exit !== undefined && { exit }),
        ...(guest !== undefined && { guest }),
      })
    this.#dispatcher.fail(this.failure)
  }

  retire(instance: Instance): void {
    this.#others.add(instance)
    for (const replica of this.replicas) if (replica.instance === instance) replica.instance = undefined
    void instance.close().then(() => this.#others.delete(instance))
  }

  /** Ends all instances, which have no calls in flight. */
  async close(): Promise<void> {
    this.isClosing = true
    for (const replica of this.replicas) replica.stop()
    await Promise.all(this.instances.map((instance) => instance.close()))
    this.#common.requests.close()
  }

  emit(event: RuntimeEvent): void {
    callBack(() => this.#settings.onEvent?.(event))
  }
}
