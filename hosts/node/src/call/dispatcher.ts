// SPDX-License-Identifier: Apache-2.0

import { PolyloopError } from '../common/errors.ts'
import type { Bounds } from '../common/options.ts'
import { hold, release } from '../native/keep-alive.ts'
import type { Counters } from '../observe/counters.ts'
import { Admission } from './admission.ts'
import type { Call, CallTarget } from './call.ts'

/** What the calls of a runtime go through: each waits until the bounds allow it, and goes to one of the instances. */
export class Dispatcher {
  readonly admission: Admission
  readonly counters: Counters
  /** Those that take calls. */
  #targets: readonly CallTarget[] = []
  /** Told when nobody waits for a call any more. */
  #onSettled: (() => void) | undefined
  /** Index of the target that got the last call. */
  #turn = 0
  readonly #abandoned = (call: Call, error: PolyloopError): void => {
    this.counters.fail(error.code)
    if (call.at === undefined) {
      this.admission.forget(call)
      this.#publish()
    } else {
      this.admission.abandon()
      call.at.abandon(call)
    }
    call.extras?.requestStream?.finish()
    this.#settle()
  }

  constructor(bounds: Bounds, counters: Counters) {
    this.admission = new Admission(bounds)
    this.admission.open = false
    this.counters = counters
  }

  /** Whether no call is in flight, and none waits. */
  get isIdle(): boolean {
    return this.admission.calls === 0 && this.admission.waiting === 0
  }

  /** Calls that wait for this target to publish them: the first one keeps the loop alive for all. */
  waitingAt(target: CallTarget): number {
    return target === this.#targets[0] ? this.admission.waiting : 0
  }

  /** From now on a target takes calls. */
  add(target: CallTarget): void {
    this.#targets = [...this.#targets, target]
    this.admission.open = true
    this.admit()
    this.#publish()
  }

  /** From now on the target takes no calls; what it has in flight is its own affair. */
  remove(target: CallTarget): void {
    this.#targets = this.#targets.filter((other) => other !== target)
    this.admission.open = this.#targets.length > 0
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
    this.#publish()
    call.extras?.observer?.queued(this.admission.waiting)
  }

  #submit(call: Call): void {
    const target = this.#pick()
    const observer = call.extras?.observer
    const before = target.doorbells
    target.submit(call)
    observer?.submitted(target.doorbells !== before)
  }

  /** Where the next call goes. */
  #pick(): CallTarget {
    if (this.#targets.length === 1) return this.#targets[0] as CallTarget
    this.#turn = this.#next()
    return this.#targets[this.#turn] as CallTarget
  }

  /** The target with the fewest calls in flight; of several the next one in turn. */
  #next(): number {
    const targets = this.#targets
    const count = targets.length
    let best = this.#turn
    for (let step = 0; step < count; step++) {
      const index = (this.#turn + 1 + step) % count
      if (step === 0 || (targets[index] as CallTarget).calls < (targets[best] as CallTarget).calls) best = index
    }
    return best
  }

  /** Lets in what may go now. Whoever frees places calls it: a connection after a drain, and after a death. */
  admit(): void {
    for (let call = this.admission.next(); call !== undefined; call = this.admission.next()) {
      if (isWhole(call)) this.#submit(call)
      else this.refuse(call, new PolyloopError('invalid-argument', detached))
    }
    this.#settle()
  }

  /** Rejects a call that no instance has. */
  refuse(call: Call, error: PolyloopError): void {
    call.onAbandon = undefined
    this.counters.fail(error.code)
    call.extras?.requestStream?.finish()
    call.abandon(error)
  }

  /**
   * Calls `then` once, when nobody waits for a call any more, in flight or for an instance; at once if that is so now.
   */
  whenSettled(then: () => void): void {
    this.#onSettled = then
    this.#settle()
  }

  #settle(): void {
    const then = this.#onSettled
    if (then === undefined) return
    const { awaited, calls, open } = this.admission
    // Calls may wait while the guest keeps requests for good: no place will be free for them.
    const isStuck = open && calls === 0
    if (awaited > 0 && !isStuck) return
    this.#onSettled = undefined
    then()
  }

  /** Rejects every call that waits: none will be let in. */
  fail(error: () => PolyloopError): void {
    for (const call of this.admission.clear()) this.refuse(call, error())
    this.#publish()
    this.#settle()
  }

  /** Rejects every call that waits or is in flight at one of `targets`; what the guest still answers is dropped. */
  abandonAll(targets: readonly CallTarget[], error: () => PolyloopError): void {
    this.fail(error)
    for (const target of targets) {
      for (const call of target.awaited()) {
        call.onAbandon = this.#abandoned
        call.abandon(error())
      }
    }
  }

  /** Calls that wait keep the loop alive: the first target counts them with its own, if there is one. */
  #publish(): void {
    this.#targets[0]?.publish()
    if (this.#targets.length > 0 || this.admission.waiting === 0) release(this)
    else hold(this, 'calls wait and no instance is there to send them')
  }
}

const detached = 'the bytes were detached or resized while the call waited: leave them alone until it has settled'

/** Whether the bytes of a call are still what they were when the call was made. */
function isWhole({ payload, size }: Call): boolean {
  return !(payload instanceof Uint8Array) || payload.length === size
}
