// SPDX-License-Identifier: Apache-2.0

import type { Lobby } from '../call/dispatcher.ts'
import { callBack } from '../common/call-back.ts'
import { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import type { Manifest } from '../common/manifest.ts'
import type { Settings } from '../common/options.ts'
import type { GuestStart } from '../placement/placement.ts'
import { Heartbeat } from './heartbeat.ts'
import { Instance } from './instance.ts'
import { Berth } from './replica.ts'
import { type Crew, Reloads } from './rollout.ts'

/** The instances of a runtime: starts them, and starts them anew when they die. */
export class Fleet implements Crew {
  /** What the instances declare, once they are ready. */
  manifest: Manifest | undefined
  /** Why there are none any more and will be none. */
  failure: (() => PolyloopError) | undefined
  restarts = 0
  isClosing = false
  /** Puts newer instances in their place. */
  readonly reloads: Reloads
  readonly berths: readonly Berth[]
  readonly #name: string
  readonly #settings: Settings
  readonly #lobby: Lobby
  #guest: GuestStart | undefined
  /** Those that are in no berth: they start, or have been replaced and have calls in flight still. */
  readonly #others = new Set<Instance>()

  constructor(name: string, settings: Settings, lobby: Lobby) {
    this.#name = name
    this.#settings = settings
    this.#lobby = lobby
    this.berths = Array.from({ length: settings.instances }, (_, index) => new Berth(index, settings.restart))
    this.reloads = new Reloads(name, this)
  }

  /** Those that are there, whatever their state. */
  get instances(): readonly Instance[] {
    return [...new Set([...this.berths.flatMap(({ instance }) => instance ?? []), ...this.#others])]
  }

  /**
   * Starts all instances.
   *
   * @throws not-found, init-failed, protocol: why the first of them did not start; then there are none
   */
  async start(guest: GuestStart): Promise<void> {
    this.#guest = guest
    try {
      await Promise.all(this.berths.map((berth) => this.#begin(berth)))
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Starts an instance in a berth; it takes calls when it is ready. */
  async #begin(berth: Berth): Promise<void> {
    const instance = await this.launch(berth, false)
    const { instance: other } = berth
    // A reload has put another one there meanwhile.
    if (other !== instance && other?.state === 'ready') this.retire(instance)
    // It may have died as soon as it was ready: then another is on its way.
    else if (!this.isClosing && instance.state === 'ready') this.#serve(berth, instance)
    else this.#others.delete(instance)
  }

  async launch(berth: Berth, anew: boolean): Promise<Instance> {
    const instance: Instance = new Instance(
      this.#name,
      berth.index,
      this.#guest as GuestStart,
      this.#settings,
      this.#lobby,
      this.manifest,
      {
        died: (error) => this.#died(berth, instance, error),
        moved: () => this.reloads.follow(),
        first: () => this.reloads.act(),
      },
    )
    berth.instance ??= instance
    this.#others.add(instance)
    try {
      instance.begin(anew)
      await instance.placed.promise
      this.emit({ type: 'starting', instance: berth.index, pid: instance.pid })
      await instance.started.promise
      return instance
    } catch (error) {
      this.#others.delete(instance)
      if (berth.instance === instance) berth.instance = undefined
      throw error
    }
  }

  /** A ready instance takes calls from now on. Returns the one in whose place it comes, if there was one. */
  #serve(berth: Berth, instance: Instance): Instance | undefined {
    this.#others.delete(instance)
    const before = berth.settle(instance)
    this.manifest = instance.tasks.manifest
    this.#lobby.add(instance.tasks)
    if (before !== undefined) this.#lobby.remove(before.tasks)
    this.emit({ type: berth.deaths > 0 ? 'restarted' : 'ready', instance: berth.index, pid: instance.pid })
    if (this.#settings.heartbeat > 0) this.#watch(berth, instance)
    this.reloads.act()
    this.reloads.follow()
    return before
  }

  replace(berth: Berth, instance: Instance): void {
    berth.forgive()
    const before = this.#serve(berth, instance)
    if (before !== undefined) this.retire(before)
  }

  #watch(berth: Berth, instance: Instance): void {
    const { heartbeat, whenHung } = this.#settings
    const beats = new Heartbeat(instance.tasks.beats, heartbeat, () => {
      const { index } = berth
      const message = `it has not been able to run code for ${heartbeat} ms (the option heartbeat)`
      this.emit({ type: 'hung', instance: index, pid: instance.pid, error: new PolyloopError('deadline', message) })
      if (whenHung === 'kill') instance.kill(new Error(message))
    })
    void instance.gone.promise.then(() => beats.stop())
  }

  #died(berth: Berth, instance: Instance, error: PolyloopError): void {
    const { index } = berth
    this.emit({ type: 'crashed', instance: index, pid: instance.pid, error })
    // One that was replaced is not missed.
    if (berth.instance !== instance) return
    berth.instance = this.#settings.placement === 'process' ? undefined : instance
    this.#restart(berth, error)
  }

  #restart(berth: Berth, error: PolyloopError): void {
    if (this.isClosing) return
    if (!berth.restart(() => void this.#again(berth))) this.#giveUp(berth, error)
  }

  async #again(berth: Berth): Promise<void> {
    this.restarts++
    try {
      await this.#begin(berth)
      this.reloads.restarted(berth)
    } catch (error) {
      // Where it is ready, a reload has put it there.
      if (this.isClosing || berth.instance?.state === 'ready') return
      this.emit({ type: 'crashed', instance: berth.index, error: error as PolyloopError })
      this.#restart(berth, error as PolyloopError)
    }
  }

  #giveUp(berth: Berth, error: PolyloopError): void {
    this.emit({ type: 'gave-up', instance: berth.index, error })
    if (this.berths.some(({ isManned }) => isManned)) return
    const { placement, restart } = this.#settings
    const advice =
      placement === 'process' && restart.attempts > 0 ? ` ${berth.deaths} times in a row, and is not started again` : ''
    const { message, exit, guest } = error
    this.failure = () =>
      new PolyloopError('guest-crashed', `${message.replace(/ has died: /, ` has died${advice}: `)}`, {
        cause: error,
        ...(exit !== undefined && { exit }),
        ...(guest !== undefined && { guest }),
      })
    this.#lobby.fail(this.failure)
  }

  retire(instance: Instance): void {
    this.#others.add(instance)
    for (const berth of this.berths) if (berth.instance === instance) berth.instance = undefined
    void instance.close().then(() => this.#others.delete(instance))
  }

  /** Ends all instances, which have no calls in flight. */
  async close(): Promise<void> {
    this.isClosing = true
    for (const berth of this.berths) berth.stop()
    await Promise.all(this.instances.map((instance) => instance.close()))
    this.#lobby.memory.close()
  }

  emit(event: RuntimeEvent): void {
    callBack(() => this.#settings.onEvent?.(event))
  }
}
