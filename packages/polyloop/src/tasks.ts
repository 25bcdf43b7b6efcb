// SPDX-License-Identifier: Apache-2.0
import { Admission, type Bounds } from './admission.ts'
import { type Block, entryWords, flag, generations, header, kind } from './block.ts'
import { Carriers } from './carriers.ts'
import type { Encoding } from './codec.ts'
import { ControlRing } from './control.ts'
import type { Counts } from './counts.ts'
import { PolyloopError } from './errors.ts'
import { Flows } from './flows.ts'
import { Held } from './held.ts'
import type { Input } from './input.ts'
import { Responses } from './responses.ts'
import { type Extras, SubmissionRing } from './submission.ts'
import type { More, Task } from './task.ts'

/** The tasks of one runtime: in at one end, out at the other. */
export class Tasks {
  readonly admission: Admission
  readonly counts: Counts
  readonly #block: Block
  readonly #ring: SubmissionRing
  readonly #control: ControlRing
  readonly #carriers: Carriers
  readonly #responses: Responses
  readonly #flows: Flows
  /** Told when no call is in flight or waiting. */
  #onIdle: (() => void) | undefined
  readonly #tasks: (Task | undefined)[]
  /** Free slots; the last one used is the warmest. */
  readonly #free: Int32Array
  #freeCount: number
  readonly #held = new Held()
  /** How often each slot was used: with it a task is named where it may have been answered already. */
  readonly #uses: Int32Array
  #head = 0
  /** Calls that have not settled. They keep the loop alive; an abandoned one does not, which may never end. */
  #awaited = 0
  readonly #abandoned = (task: Task, error: PolyloopError): void => {
    this.counts.fail(error.code)
    this.#awaited--
    this.#publish()
    if (task.slot >= 0) this.#control.cancel(task.slot, this.#uses[task.slot] as number)
    task.more?.input?.finish()
  }

  constructor(id: number, block: Block, encoding: Encoding, bounds: Bounds, counts: Counts) {
    this.counts = counts
    this.#block = block
    this.#carriers = new Carriers(id, block)
    this.#ring = new SubmissionRing(id, block, this.#carriers)
    this.#control = new ControlRing(id, block, this.#carriers)
    this.#responses = new Responses(id, block, encoding)
    this.#flows = new Flows(block, this.#control, this.#carriers)
    this.admission = new Admission(bounds)
    this.#tasks = new Array<Task | undefined>(block.slots).fill(undefined)
    this.#uses = new Int32Array(block.slots)
    this.#free = Int32Array.from({ length: block.slots }, (_, index) => block.slots - 1 - index)
    this.#freeCount = block.slots
  }

  /**
   * Submits a task, or lets it wait.
   *
   * @throws too-large, overloaded
   */
  run(task: Task): void {
    const goes = this.admission.admit(task)
    if (task.release !== undefined || task.more !== undefined) task.onAbandon = this.#abandoned
    this.#awaited++
    if (goes) this.#submit(task)
    this.#publish()
  }

  /** Tells the hub how many calls are outstanding: an unload waits for abandoned ones, too. */
  #publish(): void {
    this.#block.words[header.outstanding] = this.#onIdle === undefined ? this.#awaited : this.admission.calls
  }

  #submit(task: Task): void {
    const slot = this.#free[--this.#freeCount] as number
    this.#tasks[slot] = task
    this.#uses[slot] = ((this.#uses[slot] as number) + 1) & generations
    task.slot = slot
    const { more } = task
    const extras = more === undefined ? undefined : this.#extras(more)
    task.size = this.#ring.push(slot, task.flags, task.method, task.payload, task.deadline, extras)
    this.admission.count(task.size)
    this.counts.calls++
    this.counts.bytesOut += task.size
    if (more?.input !== undefined) this.#feed(slot, more.input)
  }

  #extras({ output, context }: More): Extras {
    return { credit: output === undefined ? 0 : this.#flows.lend(output), context }
  }

  #feed(slot: number, input: Input): void {
    const count = (bytes: number): void => {
      this.counts.bytesOut += bytes
    }
    input.start(this.#flows.sink(slot, this.#uses[slot] as number, input, count))
  }

  /** Gives items back as credit, if the call is still under way. */
  credit(task: Task, items: number, bytes: number): void {
    if (task.slot >= 0) this.#control.credit(task.slot, this.#uses[task.slot] as number, items, bytes)
  }

  /** Drains at most `limit` completions. Returns whether more wait; `onLog` hears of lines of log. */
  drain(limit: number, onLog: () => void): boolean {
    const { words, cq, cqMask } = this.#block
    // SYNC POINT complete
    const tail = Atomics.load(words, header.cqTail)
    let head = this.#head
    for (let left = limit; head !== tail && left > 0; left--) {
      const at = cq + (head & cqMask) * entryWords
      head = (head + 1) | 0
      const meta = words[at + 1] as number
      if ((meta & 0xff) === kind.response) this.#answered(at, meta)
      else this.#other(at, meta & 0xff, onLog)
    }
    this.#head = head
    Atomics.store(words, header.cqHead, head)
    this.#admitWaiting()
    return head !== tail
  }

  #admitWaiting(): void {
    for (let task = this.admission.next(); task !== undefined; task = this.admission.next()) {
      if (isWhole(task)) this.#submit(task)
      else this.#refuse(task)
    }
    this.#publish()
    if (this.admission.calls === 0) this.#onIdle?.()
  }

  /** A task that was let in, but cannot go. */
  #refuse(task: Task): void {
    this.admission.leave(0)
    task.onAbandon = this.#abandoned
    const message = 'the bytes were detached or resized while the call waited: leave them alone until it has settled'
    task.abandon(new PolyloopError('invalid-argument', message))
  }

  #answered(at: number, meta: number): void {
    const slot = this.#block.words[at] as number
    if (slot < this.#block.slots) this.#settle(at, slot, meta)
    else this.#flows.givenBack(slot, (meta >>> 8) & 0xff)
  }

  /** A response has come. */
  #settle(at: number, slot: number, meta: number): void {
    const length = this.#block.words[at + 3] as number
    const task = this.#tasks[slot]
    // After the guest's death everything is rejected: what its threads still answer is dropped.
    if (task === undefined) return void this.counts.late++
    const flags = (meta >>> 8) & 0xff
    this.counts.bytesIn += length
    // STOP 9 settle
    try {
      if (task.more !== undefined) this.#leave(task.more)
      const listener = task.abandoned ? undefined : task.more?.onContext
      const value = this.#responses.decode(at, slot, flags, length, meta >>> 16, listener)
      if (!task.abandoned) task.resolve(value)
    } catch (error) {
      if (!task.abandoned) this.#reject(task, error as PolyloopError)
    }
    if (task.timed) this.#time(at, task)
    if (task.abandoned) this.counts.late++
    else {
      this.#awaited--
      task.release?.()
      // A reader may leave its stream before it hears of this.
      task.onAbandon = undefined
    }
    this.#tasks[slot] = undefined
    task.slot = -1
    this.admission.leave(task.size)
    if (this.#held.answered(slot, (flags & flag.held) !== 0)) this.#recycle(slot)
    else this.admission.keep()
  }

  #reject(task: Task, error: PolyloopError): void {
    this.counts.fail(error.code)
    task.reject(error)
  }

  #time(at: number, task: Task): void {
    const [low = 0, high = 0] = this.#block.words.subarray(at + 6, at + 8)
    this.counts.end(task, (high >>> 0) * 2 ** 32 + (low >>> 0))
  }

  /** A call that had more is over. */
  #leave({ input, output }: More): void {
    input?.finish()
    if (output !== undefined) this.#flows.takeBack(output)
  }

  /** An item of a response stream has come. */
  #item(at: number, meta: number): void {
    const words = this.#block.words
    const slot = words[at] as number
    const length = words[at + 3] as number
    const task = this.#tasks[slot]
    const output = task?.more?.output
    this.counts.bytesIn += length
    try {
      // Also where nobody reads it: its slab counts it.
      const value = this.#responses.decode(at, slot, (meta >>> 8) & 0xff, length, 0)
      if (task?.abandoned === false) output?.push(value, length)
    } catch (error) {
      task?.abandon(error as PolyloopError)
    }
  }

  #recycle(slot: number): void {
    this.#carriers.free(slot)
    this.#free[this.#freeCount++] = slot
  }

  #other(at: number, what: number, onLog: () => void): void {
    const words = this.#block.words
    if (what === kind.item) this.#item(at, words[at + 1] as number)
    else if (what === kind.seal) this.#responses.slabs.seal(words[at + 4] as number, words[at + 6] as number)
    else if (what === kind.log) onLog()
    else if (what === kind.release) this.#release(words[at] as number)
  }

  /** The guest has given up the request of an answered task; its answer may still be on its way. */
  #release(slot: number): void {
    if (slot >= this.#block.slots) this.#flows.release(slot)
    else if (this.#held.released(slot)) {
      this.#recycle(slot)
      this.admission.giveUp()
    }
  }

  /** Told once, when no call is in flight or waiting; at once where none is. */
  whenIdle(then: () => void): void {
    this.#onIdle = () => {
      this.#onIdle = undefined
      then()
    }
    this.#publish()
    if (this.admission.calls === 0) this.#onIdle()
  }

  /** Rejects a call that no response will come for. */
  #give(task: Task, error: () => PolyloopError): void {
    task.onAbandon = this.#abandoned
    task.abandon(error())
  }

  /** Rejects every call, in flight or waiting: no response will come. */
  fail(error: () => PolyloopError): void {
    for (const [slot, task] of this.#tasks.entries()) {
      if (task === undefined) continue
      this.#tasks[slot] = undefined
      task.slot = -1
      this.admission.leave(task.size)
      this.#give(task, error)
    }
    for (const task of this.admission.clear()) this.#give(task, error)
    this.#flows.clear()
    this.#awaited = 0
    this.#publish()
    this.#onIdle?.()
  }
}

/** Whether the bytes of a task are still what they were when it was made. */
function isWhole({ payload, size }: Task): boolean {
  return !(payload instanceof Uint8Array) || payload.length === size
}
