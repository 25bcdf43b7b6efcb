// SPDX-License-Identifier: Apache-2.0
import { Admission, type Bounds } from './admission.ts'
import { type Block, entryWords, flag, header, kind, responseBytes, status } from './block.ts'
import { Pool, view } from './bytes.ts'
import type { Encoding } from './codec.ts'
import { PolyloopError } from './errors.ts'
import { type SlabMemory, Slabs } from './slabs.ts'
import { SubmissionRing } from './submission.ts'
import type { Task } from './task.ts'

const pool = new Pool()

/** Counts since the load. */
export interface TaskCounts {
  calls: number
  errors: number
  late: number
  bytesOut: number
  bytesIn: number
}

/** The tasks of one runtime: in at one end, out at the other. */
export class Tasks {
  readonly admission: Admission
  readonly counts: TaskCounts = { calls: 0, errors: 0, late: 0, bytesOut: 0, bytesIn: 0 }
  readonly #block: Block
  readonly #ring: SubmissionRing
  readonly #slabs: Slabs
  readonly #encoding: Encoding
  /** Told when no call is in flight or waiting. */
  #onIdle: (() => void) | undefined
  readonly #tasks: (Task | undefined)[]
  /** Free slots; the last one used is the warmest. */
  readonly #free: Int32Array
  #freeCount: number
  /** Slots whose request the guest holds beyond the answer (1), or gave up before it came (-1). */
  readonly #held = new Map<number, 1 | -1>()
  /** The last small response of each slot, as a view. */
  readonly #views: (Uint8Array | undefined)[]
  #head = 0
  /** Calls that have not settled. They keep the loop alive; an abandoned one does not, which may never end. */
  #awaited = 0
  readonly #abandoned = (): void => {
    this.#awaited--
    this.#publish()
  }

  constructor(id: number, block: Block, encoding: Encoding, bounds: Bounds) {
    this.#block = block
    this.#encoding = encoding
    this.#ring = new SubmissionRing(id, block)
    this.#slabs = new Slabs(id)
    this.admission = new Admission(bounds)
    this.#tasks = new Array<Task | undefined>(block.slots).fill(undefined)
    this.#views = new Array<Uint8Array | undefined>(block.slots).fill(undefined)
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
    if (task.release !== undefined) task.onAbandon = this.#abandoned
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
    task.size = this.#ring.push(slot, task.flags, task.method, task.payload, task.deadline)
    this.admission.count(task.size)
    this.counts.calls++
    this.counts.bytesOut += task.size
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
      if ((meta & 0xff) === kind.response) this.#settle(at, meta)
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

  /** A response has come. */
  #settle(at: number, meta: number): void {
    const words = this.#block.words
    const slot = words[at] as number
    const length = words[at + 3] as number
    const task = this.#tasks[slot]
    // After the guest's death everything is rejected: what its threads still answer is dropped.
    if (task === undefined) return void this.counts.late++
    const flags = (meta >>> 8) & 0xff
    this.counts.bytesIn += length
    // STOP 9 settle
    try {
      const value = this.#decode(at, slot, flags, length, meta >>> 16)
      if (!task.abandoned) task.resolve(value)
    } catch (error) {
      this.counts.errors++
      if (!task.abandoned) task.reject(error as PolyloopError)
    }
    if (task.abandoned) this.counts.late++
    else {
      this.#awaited--
      task.release?.()
    }
    this.#tasks[slot] = undefined
    this.admission.leave(task.size)
    if ((flags & flag.held) === 0) this.#recycle(slot)
    else if (this.#held.delete(slot)) this.#recycle(slot)
    else {
      this.#held.set(slot, 1)
      this.admission.keep()
    }
  }

  #recycle(slot: number): void {
    this.#ring.free(slot)
    this.#free[this.#freeCount++] = slot
  }

  #other(at: number, what: number, onLog: () => void): void {
    const words = this.#block.words
    if (what === kind.seal) this.#slabs.seal(words[at + 4] as number, words[at + 6] as number)
    else if (what === kind.log) onLog()
    else if (what === kind.release) this.#release(words[at] as number)
  }

  /** The guest has given up the request of an answered task; its answer may still be on its way. */
  #release(slot: number): void {
    if (this.#held.delete(slot)) {
      this.#recycle(slot)
      this.admission.giveUp()
    } else this.#held.set(slot, -1)
  }

  /** The value of a response, or its error thrown. The payload is copied or viewed, never kept here. */
  #decode(at: number, slot: number, flags: number, length: number, code: number): unknown {
    const words = this.#block.words
    const number = words[at + 4] as number
    const start = number === 0 ? this.#block.responses + slot * responseBytes : (words[at + 5] as number)
    let slab: SlabMemory | undefined
    if (number !== 0) slab = (flags & flag.own) === 0 ? this.#slabs.shared(number) : this.#slabs.own(number)
    const bytes = slab === undefined ? this.#block.bytes : slab.bytes
    if (code !== status.ok) throw toError(code, bytes.toString('utf8', start, start + length))
    if ((flags & flag.empty) !== 0) return undefined
    const encoding = this.#encoding
    if ((flags & flag.bytes) === 0 && encoding.carries === 'text') {
      return this.#decodeValue(() => encoding.decode(bytes.toString('utf8', start, start + length)))
    }
    const own = slab === undefined ? this.#copy(slot, start, length) : view(slab.memory, start, length)
    if ((flags & flag.bytes) !== 0 || encoding.carries === 'text') return own
    return this.#decodeValue(() => encoding.decode(own))
  }

  /** A copy of a small response: its slot is used again. */
  #copy(slot: number, start: number, length: number): Buffer {
    let last = this.#views[slot]
    // Responses of one runtime are often of one size, and making a view costs as much as the copy.
    if (last === undefined || last.length !== length) {
      last = this.#block.bytes.subarray(start, start + length)
      this.#views[slot] = last
    }
    return pool.copy(last)
  }

  #decodeValue(decode: () => unknown): unknown {
    try {
      return decode()
    } catch (cause) {
      const { name } = this.#encoding
      throw new PolyloopError('protocol', `the guest's response is not ${name}: return plain data, or bytes`, { cause })
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

  /** Rejects every call, in flight or waiting: no response will come. */
  fail(error: () => PolyloopError): void {
    for (const [slot, task] of this.#tasks.entries()) {
      if (task === undefined) continue
      this.#tasks[slot] = undefined
      this.admission.leave(task.size)
      if (!task.abandoned) task.abandon(error())
    }
    for (const task of this.admission.clear()) task.abandon(error())
    this.#awaited = 0
    this.#publish()
    this.#onIdle?.()
  }
}

/** Whether the bytes of a task are still what they were when it was made. */
function isWhole({ payload, size }: Task): boolean {
  return !(payload instanceof Uint8Array) || payload.length === size
}

function toError(code: number, json: string): PolyloopError {
  return code === status.hostError ? PolyloopError.fromHost(json) : PolyloopError.fromGuest('guest-error', json)
}
