// SPDX-License-Identifier: Apache-2.0
import { callBack } from './callers.ts'
import { PolyloopError } from './errors.ts'
import type { RuntimeEvent } from './events.ts'
import { Heartbeat } from './heartbeat.ts'
import type { GuestStart } from './home.ts'
import { Instance } from './instance.ts'
import type { Lobby } from './lobby.ts'
import type { Manifest } from './manifest.ts'
import type { Settings } from './options.ts'

/** A place of the fleet: an instance, and after its death the next one. */
interface Berth {
  readonly index: number
  instance: Instance | undefined
  /** Deaths in a row. */
  deaths: number
  /** When the instance was ready, in milliseconds. */
  since: number
  timer: NodeJS.Timeout | undefined
  /** An instance that others have left for a newer one, which could not be reached from here. */
  strayed: Instance | undefined
}

/** The guest's code has changed. */
interface Change {
  readonly at: number
  /** Loads it anew. */
  reload(): void
}

/** How often a newer guest is looked for that another host has put in the place of a shared one: it may die at once. */
const most = 3

/** The instances of a runtime: starts them, starts them anew when they die, and puts newer ones in their place. */
export class Fleet {
  /** What the instances declare, once they are ready. */
  manifest: Manifest | undefined
  /** Why there are none any more and will be none. */
  failure: (() => PolyloopError) | undefined
  restarts = 0
  reloads = 0
  readonly #name: string
  readonly #settings: Settings
  readonly #lobby: Lobby
  #guest: GuestStart | undefined
  readonly #berths: readonly Berth[]
  /** Those that are in no berth: they start, or have been replaced and have calls in flight still. */
  readonly #others = new Set<Instance>()
  /** What puts instances in the place of others: one thing at a time. */
  #reloading: Promise<void> | undefined
  #next: Promise<void> | undefined
  /** Berths that have the guest of another host's reload, until all have. */
  readonly #renewed = new Set<Berth>()
  /** Nobody has acted on it yet: that is for another host to do, or was. */
  #change: Change | undefined
  #closing = false

  constructor(name: string, settings: Settings, lobby: Lobby) {
    this.#name = name
    this.#settings = settings
    this.#lobby = lobby
    this.#berths = Array.from({ length: settings.instances }, (_, index) => {
      return { index, instance: undefined, deaths: 0, since: 0, timer: undefined, strayed: undefined }
    })
  }

  /** Those that are there, whatever their state. */
  get instances(): readonly Instance[] {
    return [...new Set([...this.#berths.flatMap(({ instance }) => instance ?? []), ...this.#others])]
  }

  /**
   * Starts all instances.
   *
   * @throws not-found, init-failed, protocol: why the first of them did not start; then there are none
   */
  async start(guest: GuestStart): Promise<void> {
    this.#guest = guest
    try {
      await Promise.all(this.#berths.map((berth) => this.#begin(berth)))
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Starts an instance in a berth; it takes calls when it is ready. */
  async #begin(berth: Berth): Promise<void> {
    const instance = await this.#launch(berth, false)
    const { instance: other } = berth
    // A reload has put another one there meanwhile.
    if (other !== instance && other?.state === 'ready') void this.#retire(instance)
    // It may have died as soon as it was ready: then another is on its way.
    else if (!this.#closing && instance.state === 'ready') this.#serve(berth, instance)
    else this.#others.delete(instance)
  }

  /** Starts an instance, and waits until it is ready. `anew`: where others share one, not that one. */
  async #launch(berth: Berth, anew: boolean): Promise<Instance> {
    const instance: Instance = new Instance(
      this.#name,
      berth.index,
      this.#guest as GuestStart,
      this.#settings,
      this.#lobby,
      this.manifest,
      {
        died: (error) => this.#died(berth, instance, error),
        moved: () => this.#follow(),
        first: () => this.#act(),
      },
    )
    berth.instance ??= instance
    this.#others.add(instance)
    try {
      instance.begin(anew)
      await instance.placed.promise
      this.#emit({ type: 'starting', instance: berth.index, pid: instance.pid })
      await instance.started.promise
      return instance
    } catch (error) {
      this.#others.delete(instance)
      if (berth.instance === instance) berth.instance = undefined
      throw error
    }
  }

  /** A ready instance takes calls from now on, in the place of another. */
  #serve(berth: Berth, instance: Instance): Instance | undefined {
    const before = berth.instance === instance ? undefined : berth.instance
    this.#others.delete(instance)
    berth.strayed = undefined
    berth.instance = instance
    berth.since = Date.now()
    this.manifest = instance.tasks.manifest
    this.#lobby.add(instance.tasks)
    if (before !== undefined) this.#lobby.remove(before.tasks)
    this.#emit({ type: berth.deaths > 0 ? 'restarted' : 'ready', instance: berth.index, pid: instance.pid })
    if (this.#settings.heartbeat > 0) this.#watch(berth, instance)
    this.#act()
    this.#follow()
    return before
  }

  /** The same of one that comes in the place of another, which ends when its last call is answered. */
  #replace(berth: Berth, instance: Instance): void {
    clearTimeout(berth.timer)
    berth.timer = undefined
    berth.deaths = 0
    const before = this.#serve(berth, instance)
    if (before !== undefined) void this.#retire(before)
  }

  #watch(berth: Berth, instance: Instance): void {
    const { heartbeat, whenHung } = this.#settings
    const beats = new Heartbeat(instance.tasks.beats, heartbeat, () => {
      const { index } = berth
      const message = `it has not been able to run code for ${heartbeat} ms (the option heartbeat)`
      this.#emit({ type: 'hung', instance: index, pid: instance.pid, error: new PolyloopError('deadline', message) })
      if (whenHung === 'kill') instance.kill(new Error(message))
    })
    void instance.gone.promise.then(() => beats.stop())
  }

  #died(berth: Berth, instance: Instance, error: PolyloopError): void {
    const { index } = berth
    this.#emit({ type: 'crashed', instance: index, pid: instance.pid, error })
    // One that was replaced is not missed.
    if (berth.instance !== instance) return
    berth.instance = this.#settings.placement === 'process' ? undefined : instance
    this.#restart(berth, error)
  }

  #restart(berth: Berth, error: PolyloopError): void {
    if (this.#closing) return
    const { attempts, minDelay, maxDelay, resetAfter } = this.#settings.restart
    if (Date.now() - berth.since >= resetAfter) berth.deaths = 0
    berth.deaths++
    if (berth.deaths > attempts) {
      this.#giveUp(berth, error)
      return
    }
    const delay = berth.deaths === 1 ? 0 : Math.min(maxDelay, minDelay * 2 ** (berth.deaths - 2))
    berth.timer = setTimeout(() => void this.#again(berth), delay)
    // Calls that wait keep the loop alive, and nothing else does.
    berth.timer.unref()
  }

  async #again(berth: Berth): Promise<void> {
    berth.timer = undefined
    this.restarts++
    berth.since = Date.now()
    try {
      await this.#begin(berth)
      // Whoever looks for a shared guest finds the newest.
      if (this.#renewed.size > 0) this.#renew(berth)
    } catch (error) {
      // Where it is ready, a reload has put it there.
      if (this.#closing || berth.instance?.state === 'ready') return
      this.#emit({ type: 'crashed', instance: berth.index, error: error as PolyloopError })
      this.#restart(berth, error as PolyloopError)
    }
  }

  #giveUp(berth: Berth, error: PolyloopError): void {
    this.#emit({ type: 'gave-up', instance: berth.index, error })
    const { placement, restart } = this.#settings
    if (
      this.#berths.some(
        ({ instance, timer }) => timer !== undefined || instance?.state === 'starting' || instance?.state === 'ready',
      )
    )
      return
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

  /**
   * Puts instances with the guest's code of now in the place of those that there are.
   *
   * @throws why the new code does not start; the old one goes on
   */
  reload(): Promise<void> {
    if (this.#reloading === undefined) return this.#alone(() => this.#replaceAll())
    // The one under way may have read the code already. One more will do, however many ask for it.
    this.#next ??= this.#reloading
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.reload()
      })
    return this.#next
  }

  /** Does what puts instances in the place of others. */
  #alone(work: () => Promise<void>): Promise<void> {
    this.#reloading = work().finally(() => {
      this.#reloading = undefined
      this.#follow()
    })
    return this.#reloading
  }

  async #replaceAll(): Promise<void> {
    const started: [Berth, Instance][] = []
    try {
      // One after the other: where the code is wrong the first one tells.
      for (const berth of this.#berths) started.push([berth, await this.#launch(berth, true)])
      this.#expectReady(started)
      await Promise.all(started.map(([, instance]) => instance.takeOver()))
      this.#expectReady(started)
    } catch (error) {
      for (const [, instance] of started) void this.#retire(instance)
      const instance = Math.min(started.length, this.#berths.length - 1)
      this.#emit({ type: 'reload-failed', instance, error: error as PolyloopError })
      throw error
    }
    for (const [berth, instance] of started) this.#replace(berth, instance)
    this.#tellReloaded()
  }

  /** While they were started they had no calls to reject, and nobody was told of a death. */
  #expectReady(started: readonly [Berth, Instance][]): void {
    if (!this.#closing && started.every(([, { state }]) => state === 'ready')) return
    const what = this.#closing ? 'it was unloaded meanwhile' : 'an instance died at once'
    throw new PolyloopError('init-failed', `${this.#name} could not be reloaded: ${what}`)
  }

  #tellReloaded(): void {
    this.#renewed.clear()
    this.reloads++
    this.#emit({ type: 'reloaded', instance: 0 })
  }

  /** Goes to the newer guest that another host has put in the place of a shared one, if one has. */
  #follow(): void {
    // What is under way may put another one there, and comes here when it is over.
    if (this.#closing || this.#reloading !== undefined) return
    for (const berth of this.#berths) {
      const { instance, strayed } = berth
      if (instance?.state !== 'ready' || !instance.hasMoved || instance === strayed) continue
      void this.#alone(() => this.#move(berth, instance))
      return
    }
  }

  async #move(berth: Berth, before: Instance): Promise<void> {
    let error: unknown
    for (let tries = 0; tries < most; tries++) {
      try {
        const instance = await this.#launch(berth, false)
        // Where the one before has died meanwhile, another is on its way.
        if (this.#closing || berth.instance !== before) return void this.#retire(instance)
        this.#expectReady([[berth, instance]])
        this.#replace(berth, instance)
        return this.#renew(berth)
      } catch (failure) {
        error = failure
      }
      if (this.#closing || berth.instance !== before) return
    }
    berth.strayed = before
    this.#emit({ type: 'reload-failed', instance: berth.index, error: error as PolyloopError })
  }

  /** A berth has the guest of another host's reload. */
  #renew(berth: Berth): void {
    this.#renewed.add(berth)
    if (this.#renewed.size === this.#berths.length) this.#tellReloaded()
  }

  /**
   * Loads the guest's code anew, which has changed at this time. Where the guest is shared, one host does it for all: the
   * others keep the change in mind, in case that one leaves before it has.
   */
  codeChanged(at: number, reload: () => void): void {
    if (this.#settings.shared === false) {
      reload()
      return
    }
    this.#change = { at, reload }
    // Nobody acts for those who have strayed.
    for (const berth of this.#berths) berth.strayed = undefined
    this.#follow()
    this.#act()
  }

  #act(): void {
    const change = this.#change
    const instance = this.#berths[0]?.instance
    if (change === undefined || instance?.firstSince === undefined || instance.hasMoved) return
    this.#change = undefined
    // What was started later has it.
    if (change.at >= instance.firstSince) change.reload()
  }

  /** Lets an instance finish what it has in flight, and ends it. */
  async #retire(instance: Instance): Promise<void> {
    this.#others.add(instance)
    for (const berth of this.#berths) if (berth.instance === instance) berth.instance = undefined
    await instance.close()
    this.#others.delete(instance)
  }

  /** Ends all instances, which have no calls in flight. */
  async close(): Promise<void> {
    this.#closing = true
    for (const berth of this.#berths) clearTimeout(berth.timer)
    await Promise.all(this.instances.map((instance) => instance.close()))
    this.#lobby.memory.close()
  }

  #emit(event: RuntimeEvent): void {
    callBack(() => this.#settings.onEvent?.(event))
  }
}
