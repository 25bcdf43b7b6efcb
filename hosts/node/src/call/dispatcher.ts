// SPDX-License-Identifier: Apache-2.0

import { PolyloopError } from '../common/errors.ts'
import { longestTimer } from '../common/timers.ts'
import type { Counts } from '../observe/counters.ts'
import type { Tasks } from '../ring/connection.ts'
import type { RequestMemory } from '../ring/request-heap.ts'
import { Admission, type Bounds } from './admission.ts'
import type { Task } from './call.ts'

/** Where the calls of a runtime come in: each waits until the bounds allow it, and goes to one of the instances. */
export class Lobby {
  readonly admission: Admission
  readonly counts: Counts
  /** Where guests read requests. */
  readonly memory: RequestMemory
  /** Those that take calls. */
  #instances: readonly Tasks[] = []
  /** Calls that wait and that somebody awaits. */
  #waiting = 0
  /** Told when no call is in flight, and none waits for an instance. */
  #onIdle: (() => void) | undefined
  /** Keeps the loop alive while calls wait and no instance is there to do it. */
  #keeper: NodeJS.Timeout | undefined
  /** Where the last call went. */
  #turn = 0
  readonly #abandoned = (task: Task, error: PolyloopError): void => {
    this.counts.fail(error.code)
    if (task.at === undefined) {
      this.#waiting--
      this.#publish()
    } else task.at.abandon(task)
    task.more?.input?.finish()
  }

  constructor(bounds: Bounds, counts: Counts, memory: RequestMemory) {
    this.admission = new Admission(bounds)
    this.admission.open = false
    this.counts = counts
    this.memory = memory
  }

  /** Whether no call is in flight, and none waits. */
  get isIdle(): boolean {
    return this.admission.calls === 0 && this.#waiting === 0
  }

  /** Calls that wait for this instance to publish them: the first one keeps the loop alive for all. */
  waitingAt(instance: Tasks): number {
    return instance === this.#instances[0] ? this.#waiting : 0
  }

  /** From now on an instance takes calls. */
  add(instance: Tasks): void {
    this.#instances = [...this.#instances, instance]
    this.admission.open = true
    this.admit()
    this.#publish()
  }

  /** From now on it does not; what it has in flight is its own affair. */
  remove(instance: Tasks): void {
    this.#instances = this.#instances.filter((other) => other !== instance)
    this.admission.open = this.#instances.length > 0
    this.#publish()
  }

  /**
   * Submits a task, or lets it wait.
   *
   * @throws too-large, overloaded
   */
  run(task: Task): void {
    const goes = this.admission.admit(task)
    if (task.release !== undefined || task.more !== undefined) task.onAbandon = this.#abandoned
    if (!goes) this.#wait(task)
    else if (task.more === undefined) this.#pick().submit(task)
    else this.#submit(task)
  }

  #wait(task: Task): void {
    this.#waiting++
    this.#publish()
    task.more?.observer?.queue(this.admission.waiting)
  }

  #submit(task: Task): void {
    const observer = task.more?.observer
    if (observer === undefined) this.#pick().submit(task)
    else observer.submit(task, this.#pick())
  }

  /** Where the next call goes. */
  #pick(): Tasks {
    if (this.#instances.length === 1) return this.#instances[0] as Tasks
    this.#turn = this.#next()
    return this.#instances[this.#turn] as Tasks
  }

  /** The instance with the fewest calls in flight; of several the next one in turn. */
  #next(): number {
    const instances = this.#instances
    const count = instances.length
    let best = this.#turn
    for (let step = 0; step < count; step++) {
      const index = (this.#turn + 1 + step) % count
      if (step === 0 || (instances[index] as Tasks).calls < (instances[best] as Tasks).calls) best = index
    }
    return best
  }

  /** Lets in what may go now. An instance calls it when places may be free. */
  admit(): void {
    for (let task = this.admission.next(); task !== undefined; task = this.admission.next()) {
      this.#waiting--
      if (isWhole(task)) this.#submit(task)
      else this.refuse(task, new PolyloopError('invalid-argument', detached))
    }
    if (this.#onIdle !== undefined) this.#settle()
  }

  /** Rejects a call that was let in and cannot go. */
  refuse(task: Task, error: PolyloopError): void {
    this.admission.leave(0)
    this.#reject(task, error)
  }

  /** Rejects a call that no instance has. */
  #reject(task: Task, error: PolyloopError): void {
    task.onAbandon = undefined
    this.counts.fail(error.code)
    task.more?.input?.finish()
    task.abandon(error)
  }

  /** Told once, when no call is in flight, and none waits for an instance; at once where that is so. */
  whenIdle(then: () => void): void {
    this.#onIdle = then
    for (const instance of this.#instances) instance.awaitAll()
    this.#settle()
  }

  #settle(): void {
    // Calls may wait where the guest keeps requests for good: no place will be free for them.
    if (this.admission.calls > 0 || (!this.admission.open && this.#waiting > 0)) return
    const then = this.#onIdle
    this.#onIdle = undefined
    then?.()
  }

  /** Rejects every call that waits: none will be let in. */
  fail(error: () => PolyloopError): void {
    for (const task of this.admission.clear()) this.#reject(task, error())
    this.#waiting = 0
    this.#publish()
    if (this.#onIdle !== undefined) this.#settle()
  }

  #publish(): void {
    this.#instances[0]?.publish()
    if (this.#instances.length === 0 && this.#waiting > 0) this.#keeper ??= setInterval(() => {}, longestTimer)
    else if (this.#keeper !== undefined) {
      clearInterval(this.#keeper)
      this.#keeper = undefined
    }
  }
}

const detached = 'the bytes were detached or resized while the call waited: leave them alone until it has settled'

/** Whether the bytes of a task are still what they were when it was made. */
function isWhole({ payload, size }: Task): boolean {
  return !(payload instanceof Uint8Array) || payload.length === size
}
