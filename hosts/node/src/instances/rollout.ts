// SPDX-License-Identifier: Apache-2.0

import { type Deferred, deferred } from '../common/deferred.ts'
import { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import type { Instance } from './instance.ts'
import type { Replica } from './replica.ts'

/** The guest's code has changed. */
interface Change {
  readonly at: number
  /** Loads it again. */
  reload(): void
}

/** What is done to the instances of a supervisor. */
export interface Supervised {
  readonly replicas: readonly Replica[]
  readonly isClosing: boolean
  /**
   * Starts an instance, and waits until it is ready.
   *
   * @param fresh - with the current code, even if others share one
   * @param round - what it is for, and who may give it up
   */
  launch(replica: Replica, fresh: boolean, round?: Round): Promise<Instance>
  /** A ready one takes calls in the place of another, which ends when its last call is answered. */
  replace(replica: Replica, instance: Instance): void
  /** Lets an instance finish what it has in flight, and ends it. */
  retire(instance: Instance): void
  /** Nothing starts any more: if nothing serves, either, there is none and will be none. */
  failIfGone(error: PolyloopError): void
  /** Why nothing is started once it is being unloaded. */
  unloaded(): PolyloopError
  emit(event: RuntimeEvent): void
}

/** How often a newer guest is looked for that another host has put in the place of a shared one: it may die at once. */
const most = 3

/** One reload, which ends when it is over, or when the last of those who wait for it has given it up. */
export class Round {
  readonly name: string
  /** How many wait for it. */
  waiters = 0
  outcome: Promise<void> = Promise.resolve()
  /** The instance that was begun last. */
  instance: Instance | undefined
  /** Why it was given up. */
  failure: PolyloopError | undefined
  /** Rejects when it is given up. */
  readonly abandoned: Deferred<never> = deferred()
  readonly #onAbandon: (round: Round) => void

  /** @param name - the runtime's, for messages */
  constructor(name: string, onAbandon: (round: Round) => void) {
    this.name = name
    this.#onAbandon = onAbandon
    // Nothing may be under way.
    this.abandoned.promise.catch(() => {})
  }

  /** Nobody waits any more: ends what it has started. */
  abandonStart(error: PolyloopError): void {
    this.failure = error
    this.#onAbandon(this)
    this.abandoned.reject(error)
    if (this.instance?.state === 'starting') this.instance.end()
  }
}

/** Puts instances with newer code in the place of those of a supervisor: at the program's wish, or because another host has. */
export class Rollout {
  /** How often all of them have been replaced. */
  count = 0
  readonly #name: string
  readonly #supervised: Supervised
  /** What puts instances in the place of others: one thing at a time. */
  #current: Promise<void> | undefined
  #next: Round | undefined
  /** Replicas that have the guest of another host's reload, until all have. */
  readonly #renewed = new Set<Replica>()
  /** Nobody has acted on it yet: that is for another host to do, or was. */
  #change: Change | undefined

  /** @param name - the runtime's, for messages */
  constructor(name: string, supervised: Supervised) {
    this.#name = name
    this.#supervised = supervised
  }

  /**
   * Puts instances with the current code of the guest in the place of the current ones. What this returns rejects with why
   * the new code does not start; the old one goes on.
   */
  reload(): Round {
    // One that is under way may have read the code already. One more will do, however many ask for it.
    if (this.#next !== undefined) return this.#next
    const round = new Round(this.#name, () => this.#abandoned(round))
    this.#next = round
    round.outcome = this.#begin(round)
    return round
  }

  async #begin(round: Round): Promise<void> {
    while (this.#current !== undefined) await this.#current.catch(() => {})
    if (this.#next === round) this.#next = undefined
    if (this.#supervised.isClosing) throw this.#supervised.unloaded()
    if (round.failure !== undefined) throw round.failure
    await this.#alone(() => this.#replaceAll(round))
  }

  #abandoned(round: Round): void {
    // Who asks for one from now on does not get this.
    if (this.#next === round) this.#next = undefined
    const { failure: error, instance } = round
    if (error?.code !== 'deadline' || instance?.state !== 'starting') return
    this.#supervised.emit({ type: 'hung', instance: instance.index, pid: instance.pid, error })
  }

  /**
   * Acts on a change of the code of a guest that hosts share: one does it for all. The others keep the change in mind, in
   * case that one leaves before it has.
   */
  codeChanged(at: number, reload: () => void): void {
    this.#change = { at, reload }
    // Nobody acts for those that stay with a guest that was left behind.
    for (const replica of this.#supervised.replicas) replica.leftBehind = undefined
    this.follow()
    this.act()
  }

  /** Loads changed code again, if this host is the one to do so. */
  act(): void {
    const change = this.#change
    const instance = this.#supervised.replicas[0]?.serving
    if (change === undefined || instance?.firstSince === undefined || instance.hasMoved) return
    this.#change = undefined
    // What was started later has it.
    if (change.at >= instance.firstSince) change.reload()
  }

  /** Goes to the newer guest that another host has put in the place of a shared one, if one has. */
  follow(): void {
    // What is under way may put another one there, and comes here when it is over.
    if (this.#supervised.isClosing || this.#current !== undefined) return
    for (const replica of this.#supervised.replicas) {
      const { serving, leftBehind } = replica
      if (serving?.state !== 'ready' || !serving.hasMoved || serving === leftBehind) continue
      void this.#alone(() => this.#move(replica, serving))
      return
    }
  }

  /** Resolves when nothing puts instances in the place of others. */
  async over(): Promise<void> {
    while (this.#current !== undefined) await this.#current.catch(() => {})
  }

  /** An instance has been started again in a replica: whoever looks for a shared guest finds the newest. */
  restarted(replica: Replica): void {
    if (this.#renewed.size > 0) this.#renew(replica)
  }

  /** Does what puts instances in the place of others. */
  #alone(work: () => Promise<void>): Promise<void> {
    this.#current = work().finally(() => {
      this.#current = undefined
      this.follow()
    })
    return this.#current
  }

  async #replaceAll(round: Round): Promise<void> {
    const { replicas } = this.#supervised
    const started: [Replica, Instance][] = []
    try {
      // RELOAD 2 launch
      // One after the other: if the code is wrong the first one tells.
      for (const replica of replicas) started.push([replica, await this.#supervised.launch(replica, true, round)])
      this.#expectReady(started)
      // From here on it goes its way: others may hear of it.
      await Promise.all(started.map(([, instance]) => instance.takeOver()))
      this.#expectReady(started)
    } catch (error) {
      for (const [, instance] of started) this.#supervised.retire(instance)
      const instance = Math.min(started.length, replicas.length - 1)
      this.#supervised.emit({ type: 'reload-failed', instance, error: error as PolyloopError })
      this.#supervised.failIfGone(error as PolyloopError)
      throw error
    }
    for (const [replica, instance] of started) this.#supervised.replace(replica, instance)
    this.#tell()
  }

  /** While they were started they had no calls to reject, and nobody was told of a death. */
  #expectReady(started: readonly [Replica, Instance][]): void {
    if (this.#supervised.isClosing) throw this.#supervised.unloaded()
    if (started.every(([, { state }]) => state === 'ready')) return
    throw new PolyloopError('init-failed', `${this.#name} could not be reloaded: an instance died at once`)
  }

  async #move(replica: Replica, before: Instance): Promise<void> {
    let error: unknown
    for (let tries = 0; tries < most; tries++) {
      try {
        // RELOAD 6 follow
        const instance = await this.#supervised.launch(replica, false)
        // If the one before has died meanwhile, another may be there already.
        const isLate = replica.serving !== undefined && replica.serving !== before
        if (this.#supervised.isClosing || isLate) return this.#supervised.retire(instance)
        this.#expectReady([[replica, instance]])
        this.#supervised.replace(replica, instance)
        return this.#renew(replica)
      } catch (failure) {
        error = failure
      }
      if (this.#supervised.isClosing || replica.serving !== before) {
        return this.#supervised.failIfGone(error as PolyloopError)
      }
    }
    replica.leftBehind = before
    this.#supervised.emit({ type: 'reload-failed', instance: replica.index, error: error as PolyloopError })
    this.#supervised.failIfGone(error as PolyloopError)
  }

  /** A replica has the guest of another host's reload. */
  #renew(replica: Replica): void {
    this.#renewed.add(replica)
    if (this.#renewed.size === this.#supervised.replicas.length) this.#tell()
  }

  #tell(): void {
    this.#renewed.clear()
    this.count++
    this.#supervised.emit({ type: 'reloaded', instance: 0 })
  }
}
