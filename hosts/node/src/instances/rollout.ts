// SPDX-License-Identifier: Apache-2.0

import { PolyloopError } from '../common/errors.ts'
import type { RuntimeEvent } from '../common/events.ts'
import type { Instance } from './instance.ts'
import type { Berth } from './replica.ts'

/** The guest's code has changed. */
interface Change {
  readonly at: number
  /** Loads it anew. */
  reload(): void
}

/** What is done to the instances of a fleet. */
export interface Crew {
  readonly berths: readonly Berth[]
  readonly isClosing: boolean
  /** Starts an instance, and waits until it is ready. `anew`: where others share one, not that one. */
  launch(berth: Berth, anew: boolean): Promise<Instance>
  /** A ready one takes calls in the place of another, which ends when its last call is answered. */
  replace(berth: Berth, instance: Instance): void
  /** Lets an instance finish what it has in flight, and ends it. */
  retire(instance: Instance): void
  emit(event: RuntimeEvent): void
}

/** How often a newer guest is looked for that another host has put in the place of a shared one: it may die at once. */
const most = 3

/** Puts instances with newer code in the place of those of a fleet: at the program's wish, or because another host has. */
export class Reloads {
  /** How often all of them have been replaced. */
  count = 0
  readonly #name: string
  readonly #crew: Crew
  /** What puts instances in the place of others: one thing at a time. */
  #current: Promise<void> | undefined
  #next: Promise<void> | undefined
  /** Berths that have the guest of another host's reload, until all have. */
  readonly #renewed = new Set<Berth>()
  /** Nobody has acted on it yet: that is for another host to do, or was. */
  #change: Change | undefined

  /** @param name - the runtime's, for messages */
  constructor(name: string, crew: Crew) {
    this.#name = name
    this.#crew = crew
  }

  /**
   * Puts instances with the guest's code of now in the place of those that there are.
   *
   * @throws why the new code does not start; the old one goes on
   */
  reload(): Promise<void> {
    if (this.#current === undefined) return this.#alone(() => this.#replaceAll())
    // The one under way may have read the code already. One more will do, however many ask for it.
    this.#next ??= this.#current
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.reload()
      })
    return this.#next
  }

  /**
   * Acts on a change of the code of a guest that hosts share: one does it for all. The others keep the change in mind, in
   * case that one leaves before it has.
   */
  codeChanged(at: number, reload: () => void): void {
    this.#change = { at, reload }
    // Nobody acts for those who have strayed.
    for (const berth of this.#crew.berths) berth.strayed = undefined
    this.follow()
    this.act()
  }

  /** Loads changed code anew, if this host is the one to do so. */
  act(): void {
    const change = this.#change
    const instance = this.#crew.berths[0]?.instance
    if (change === undefined || instance?.firstSince === undefined || instance.hasMoved) return
    this.#change = undefined
    // What was started later has it.
    if (change.at >= instance.firstSince) change.reload()
  }

  /** Goes to the newer guest that another host has put in the place of a shared one, if one has. */
  follow(): void {
    // What is under way may put another one there, and comes here when it is over.
    if (this.#crew.isClosing || this.#current !== undefined) return
    for (const berth of this.#crew.berths) {
      const { instance, strayed } = berth
      if (instance?.state !== 'ready' || !instance.hasMoved || instance === strayed) continue
      void this.#alone(() => this.#move(berth, instance))
      return
    }
  }

  /** An instance has been started anew in a berth: whoever looks for a shared guest finds the newest. */
  restarted(berth: Berth): void {
    if (this.#renewed.size > 0) this.#renew(berth)
  }

  /** Does what puts instances in the place of others. */
  #alone(work: () => Promise<void>): Promise<void> {
    this.#current = work().finally(() => {
      this.#current = undefined
      this.follow()
    })
    return this.#current
  }

  async #replaceAll(): Promise<void> {
    const { berths } = this.#crew
    const started: [Berth, Instance][] = []
    try {
      // One after the other: where the code is wrong the first one tells.
      for (const berth of berths) started.push([berth, await this.#crew.launch(berth, true)])
      this.#expectReady(started)
      await Promise.all(started.map(([, instance]) => instance.takeOver()))
      this.#expectReady(started)
    } catch (error) {
      for (const [, instance] of started) this.#crew.retire(instance)
      const instance = Math.min(started.length, berths.length - 1)
      this.#crew.emit({ type: 'reload-failed', instance, error: error as PolyloopError })
      throw error
    }
    for (const [berth, instance] of started) this.#crew.replace(berth, instance)
    this.#tell()
  }

  /** While they were started they had no calls to reject, and nobody was told of a death. */
  #expectReady(started: readonly [Berth, Instance][]): void {
    const { isClosing } = this.#crew
    if (!isClosing && started.every(([, { state }]) => state === 'ready')) return
    const what = isClosing ? 'it was unloaded meanwhile' : 'an instance died at once'
    throw new PolyloopError('init-failed', `${this.#name} could not be reloaded: ${what}`)
  }

  async #move(berth: Berth, before: Instance): Promise<void> {
    let error: unknown
    for (let tries = 0; tries < most; tries++) {
      try {
        const instance = await this.#crew.launch(berth, false)
        // Where the one before has died meanwhile, another is on its way.
        if (this.#crew.isClosing || berth.instance !== before) return this.#crew.retire(instance)
        this.#expectReady([[berth, instance]])
        this.#crew.replace(berth, instance)
        return this.#renew(berth)
      } catch (failure) {
        error = failure
      }
      if (this.#crew.isClosing || berth.instance !== before) return
    }
    berth.strayed = before
    this.#crew.emit({ type: 'reload-failed', instance: berth.index, error: error as PolyloopError })
  }

  /** A berth has the guest of another host's reload. */
  #renew(berth: Berth): void {
    this.#renewed.add(berth)
    if (this.#renewed.size === this.#crew.berths.length) this.#tell()
  }

  #tell(): void {
    this.#renewed.clear()
    this.count++
    this.#crew.emit({ type: 'reloaded', instance: 0 })
  }
}
