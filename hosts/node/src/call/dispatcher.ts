// SPDX-License-Identifier: Apache-2.0

import { PolyloopError } from '../common/errors.ts'
import type { Bounds } from '../common/options.ts'
import { longestTimer } from '../common/timers.ts'
import type { Counters } from '../observe/counters.ts'
import type { Connection } from '../ring/connection.ts'
import type { RequestHeap } from '../ring/request-heap.ts'
import { Admission } from './admission.ts'
import type { Call } from './call.ts'

/** Where the calls of a runtime come in: each waits until the bounds allow it, and goes to one of the instances. */
export class Dispatcher {
  readonly admission: Admission
  readonly counts: Counters
  /** Where guests read requests. */
  readonly memory: RequestHeap
  /** Those that take calls. */
  #instances: readonly Connection[] = []
  /** Calls that wait and that somebody awaits. */
  #waiting = 0
  /** Told when no call is in flight, and none waits for an instance. */
  #onIdle: (() => void) | undefined
  /** Keeps the loop alive while calls wait and no instance is there to do it. */
  #keeper: NodeJS.Timeout | undefined
  /** Where the last call went. */
  #turn = 0
  readonly #abandoned = (call: Call, error: PolyloopError): void => {
    this.counts.fail(error.code)
    if (call.at === undefined) {
      this.#waiting--
      this.#publish()
    } else call.at.abandon(call)
    call.extras?.requestStream?.finish()
  }

  constructor(bounds: Bounds, counts: Counters, memory: RequestHeap) {
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
  waitingAt(instance: Connection): number {
    return instance === this.#instances[0] ? this.#waiting : 0
  }

  /** From now on an instance takes calls. */
  add(instance: Connection): void {
    this.#instances = [...this.#instances, instance]
    this.admission.open = true
    this.admit()
    this.#publish()
  }

  /** From now on it does not; what it has in flight is its own affair. */
  remove(instance: Connection): void {
    this.#instances = this.#instances.filter((other) => other !== instance)
    this.admission.open = this.#instances.length > 0
    this.#publish()
  }

  /**
   * Submits a call, or lets it wait.
   *
   * @throws too-large, overloaded
   */
  run(call: Call): void {
    const goes = this.admission.admit(call)
    if (call.release !== undefined || call.extras !== undefined) call.onAbandon = this.#abandoned
    if (!goes) this.#wait(call)
    else if (call.extras === undefined) this.#pick().submit(call)
    else this.#submit(call)
  }

  #wait(call: Call): void {
    this.#waiting++
    this.#publish()
    call.extras?.observer?.queue(this.admission.waiting)
  }

  #submit(call: Call): void {
    const observer = call.extras?.observer
    if (observer === undefined) this.#pick().submit(call)
    else observer.submit(call, this.#pick())
  }

  /** Where the next call goes. */
  #pick(): Connection {
    if (this.#instances.length === 1) return this.#instances[0] as Connection
    this.#turn = this.#next()
    return this.#instances[this.#turn] as Connection
  }

  /** The instance with the fewest calls in flight; of several the next one in turn. */
  #next(): number {
    const instances = this.#instances
    const count = instances.length
    let best = this.#turn
    for (let step = 0; step < count; step++) {
      const index = (this.#turn + 1 + step) % count
      if (step === 0 || (instances[index] as Connection).calls < (instances[best] as Connection).calls) best = index
    }
    return best
  }

  /** Lets in what may go now. An instance calls it when places may be free. */
  admit(): void {
    for (let call = this.admission.next(); call !== undefined; call = this.admission.next()) {
      this.#waiting--
      if (isWhole(call)) this.#submit(call)
      else this.refuse(call, new PolyloopError('invalid-argument', detached))
    }
    if (this.#onIdle !== undefined) this.#settle()
  }

  /** Rejects a call that was let in and cannot go. */
  refuse(call: Call, error: PolyloopError): void {
    this.admission.leave(0)
    this.#reject(call, error)
  }

  /** Rejects a call that no instance has. */
  #reject(call: Call, error: PolyloopError): void {
    call.onAbandon = undefined
    this.counts.fail(error.code)
    call.extras?.requestStream?.finish()
    call.abandon(error)
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
    for (const call of this.admission.clear()) this.#reject(call, error())
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

/** Whether the bytes of a call are still what they were when it was made. */
function isWhole({ payload, size }: Call): boolean {
  return !(payload instanceof Uint8Array) || payload.length === size
}
