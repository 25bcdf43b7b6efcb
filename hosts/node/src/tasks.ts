// SPDX-License-Identifier: Apache-2.0
import type { Admission } from './admission.ts'
import { type Block, entryWords, flag, generations, header, kind, ownPins } from './block.ts'
import { Carriers } from './carriers.ts'
import { ControlRing } from './control.ts'
import type { Counts } from './counts.ts'
import { Breach, PolyloopError } from './errors.ts'
import { Flows } from './flows.ts'
import { Held } from './held.ts'
import type { Input } from './input.ts'
import type { Lobby } from './lobby.ts'
import type { Manifest } from './manifest.ts'
import { canPin, native } from './native.ts'
import { type ReadingOptions, Responses } from './responses.ts'
import { type Extras, SubmissionRing } from './submission.ts'
import type { More, Task } from './task.ts'

/** The tasks of one instance: in at one end, out at the other. */
export class Tasks {
  /** What the instance declares, once it is ready. */
  manifest: Manifest | undefined
  readonly #lobby: Lobby
  readonly #onBreach: (error: Breach) => void
  readonly #admission: Admission
  readonly #counts: Counts
  readonly #block: Block
  /** How many calls are outstanding, in memory that no other process can write; nobody reads it where there is none. */
  readonly #outstanding: Int32Array
  readonly #ring: SubmissionRing
  readonly #control: ControlRing
  readonly #carriers: Carriers
  readonly #responses: Responses
  readonly #flows: Flows
  /** Told when no call is in flight. */
  #onIdle: (() => void) | undefined
  /** Whether the loop is kept alive until abandoned calls are answered, too. */
  #awaitsAll = false
  readonly #tasks: (Task | undefined)[]
  /** Free slots; the last one used is the warmest. */
  readonly #free: Int32Array
  #freeCount: number
  readonly #held = new Held()
  /** How often each slot was used: with it a task is named where it may have been answered already. */
  readonly #uses: Int32Array
  #head = 0
  #calls = 0
  /** Calls that have not settled. They keep the loop alive; an abandoned one does not, which may never end. */
  #awaited = 0
  #isOver = false

  /**
   * @param onBreach - told where the guest breaks a rule outside of a drain
   */
  constructor(id: number, block: Block, options: ReadingOptions, lobby: Lobby, onBreach: (error: Breach) => void) {
    this.#onBreach = onBreach
    this.#lobby = lobby
    this.#admission = lobby.admission
    this.#counts = lobby.counts
    this.#block = block
    const isRemote = options.placement === 'process'
    const own = isRemote ? native.privateMemory(id) : undefined
    this.#outstanding = own === undefined ? new Int32Array(1) : new Int32Array(own, 0, 1)
    this.#carriers = new Carriers(id, block, lobby.memory, isRemote || !canPin(), own && new Uint8Array(own, ownPins))
    this.#ring = new SubmissionRing(id, block, this.#carriers)
    this.#control = new ControlRing(id, block, this.#carriers, isRemote)
    this.#responses = new Responses(id, block, options)
    this.#flows = new Flows(block, this.#control, this.#carriers)
    this.#tasks = new Array<Task | undefined>(block.slots).fill(undefined)
    this.#uses = new Int32Array(block.slots)
    this.#free = Int32Array.from({ length: block.slots }, (_, index) => block.slots - 1 - index)
    this.#freeCount = block.slots
  }

  /** How often the guest has beaten, where it has a process of its own. */
  readonly beats = (): number => Atomics.load(this.#block.words, header.beats)

  /** Requests in such memory that the guest may read. */
  get lent(): number {
    return this.#carriers.lent
  }

  /** Calls in flight, those that were abandoned, too. */
  get calls(): number {
    return this.#calls
  }

  /** Tells the hub how many calls keep the loop alive. */
  publish(): void {
    const own = this.#awaitsAll ? this.#calls : this.#awaited
    const all = own + this.#lobby.waitingAt(this)
    this.#block.words[header.outstanding] = all
    this.#outstanding[0] = all
  }

  /** A call that was let in. */
  submit(task: Task): void {
    const method = task.manifest === this.manifest ? task.method : this.#translate(task)
    if (method === undefined) return
    const slot = this.#free[--this.#freeCount] as number
    this.#tasks[slot] = task
    this.#uses[slot] = ((this.#uses[slot] as number) + 1) & generations
    task.slot = slot
    task.at = this
    const { more } = task
    const extras = more === undefined ? undefined : this.#extras(more)
    try {
      task.size = this.#ring.push(slot, task.flags, method, task.payload, task.deadline, extras)
    } catch (error) {
      this.#takeBack(slot, task, error as PolyloopError)
      return
    }
    this.#admission.count(task.size)
    this.#counts.calls++
    this.#counts.bytesOut += task.size
    this.#calls++
    this.#awaited++
    this.publish()
    if (more?.input !== undefined) this.#feed(slot, more.input)
  }

  /** A call whose request has found no place. */
  #takeBack(slot: number, task: Task, error: PolyloopError): void {
    this.#tasks[slot] = undefined
    this.#uses[slot] = ((this.#uses[slot] as number) - 1) & generations
    task.slot = -1
    this.#recycle(slot)
    if (task.more !== undefined) this.#leave(task.more)
    this.#lobby.refuse(task, error)
  }

  /** The number of a function here that was called by that of older code; rejects the call where it is gone. */
  #translate(task: Task): number | undefined {
    const method = task.manifest === undefined ? undefined : this.manifest?.translate(task.method, task.manifest)
    if (method !== undefined) return method
    const name = task.manifest?.methods[task.method]?.name ?? 'handle'
    const message = `the guest has no function '${name}' any more: it was reloaded while the call waited`
    this.#lobby.refuse(task, new PolyloopError('not-found', message))
    return undefined
  }

  /** The caller of a call in flight has given it up. */
  abandon(task: Task): void {
    this.#awaited--
    this.publish()
    if (task.slot >= 0) this.#say(() => this.#control.cancel(task.slot, this.#uses[task.slot] as number))
  }

  /** Says something in the control ring; a guest that lets it fill up is told of, not the caller. */
  #say(what: () => void): void {
    try {
      what()
    } catch (error) {
      this.#onBreach(error as Breach)
    }
  }

  #extras({ output, context }: More): Extras {
    return { credit: output === undefined ? 0 : this.#flows.lend(output), context }
  }

  #feed(slot: number, input: Input): void {
    const count = (bytes: number): void => {
      this.#counts.bytesOut += bytes
    }
    const { send, end, whenFree } = this.#flows.sink(slot, this.#uses[slot] as number, input, count)
    input.start({
      send: (item) => {
        try {
          return send(item)
        } catch (error) {
          if (!(error instanceof Breach)) throw error
          // It waits, and the guest's end will end it.
          this.#onBreach(error)
          return undefined
        }
      },
      end: () => this.#say(end),
      whenFree,
    })
  }

  /** Gives items back as credit, if the call is still under way. */
  credit(task: Task, items: number, bytes: number): void {
    if (task.slot < 0) return
    this.#say(() => this.#control.credit(task.slot, this.#uses[task.slot] as number, items, bytes))
  }

  /**
   * Drains at most `limit` completions. Returns whether more wait; `onLog` hears of lines of log.
   *
   * @throws Breach where the ring holds what no sound guest writes
   */
  drain(limit: number, onLog: () => void): boolean {
    const { words, cq, cqMask } = this.#block
    // SYNC POINT complete
    const tail = Atomics.load(words, header.cqTail)
    let head = this.#head
    if ((tail - head) >>> 0 > cqMask + 1) throw new Breach('it says that its ring holds more than it can')
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

  /** Passes over what a guest writes that has broken a rule. Returns false: nothing of it waits. */
  skip(): false {
    const { words } = this.#block
    this.#head = Atomics.load(words, header.cqTail)
    Atomics.store(words, header.cqHead, this.#head)
    return false
  }

  /** Places may be free. */
  #admitWaiting(): void {
    this.#lobby.admit()
    this.publish()
    if (this.#calls === 0) this.#settleIdle()
  }

  #settleIdle(): void {
    const then = this.#onIdle
    this.#onIdle = undefined
    then?.()
  }

  #answered(at: number, meta: number): void {
    const slot = this.#block.words[at] as number
    if (slot >>> 0 < this.#block.slots) this.#settle(at, slot, meta)
    else this.#flows.givenBack(slot, (meta >>> 8) & 0xff)
  }

  /** A response has come. */
  #settle(at: number, slot: number, meta: number): void {
    const length = (this.#block.words[at + 3] as number) >>> 0
    const task = this.#tasks[slot]
    if (task === undefined) {
      // After the guest's death everything is rejected: what its threads still answer is dropped.
      if (this.#isOver) return void this.#counts.late++
      throw new Breach('it answers a call that it was not given')
    }
    const flags = (meta >>> 8) & 0xff
    this.#counts.bytesIn += length
    task.more?.observer?.answer(task, length, this.#taken(at))
    // STOP 9 settle
    try {
      if (task.more !== undefined) this.#leave(task.more)
      const listener = task.abandoned ? undefined : task.more?.onContext
      const value = this.#responses.decode(at, slot, flags, length, meta >>> 16, listener)
      if (!task.abandoned) task.resolve(value)
    } catch (error) {
      // The call stays in flight, and is rejected with the others.
      if (error instanceof Breach) throw error
      if (!task.abandoned) this.#reject(task, error as PolyloopError)
    }
    if (task.timed) this.#counts.end(task, this.#taken(at))
    if (task.abandoned) this.#counts.late++
    else {
      this.#awaited--
      task.release?.()
      // A reader may leave its stream before it hears of this.
      task.onAbandon = undefined
    }
    this.#tasks[slot] = undefined
    task.slot = -1
    this.#calls--
    this.#admission.leave(task.size)
    if (this.#held.answered(slot, (flags & flag.held) !== 0)) this.#recycle(slot)
    else this.#admission.keep()
  }

  #reject(task: Task, error: PolyloopError): void {
    this.#counts.fail(error.code)
    task.reject(error)
  }

  /** When a guest thread took a timed call; 0 where what the guest says is no time. */
  #taken(at: number): number {
    const [low = 0, high = 0] = this.#block.words.subarray(at + 6, at + 8)
    const taken = (high >>> 0) * 2 ** 32 + (low >>> 0)
    return taken <= Number.MAX_SAFE_INTEGER ? taken : 0
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
    const length = (words[at + 3] as number) >>> 0
    if (slot >>> 0 >= this.#block.slots) throw new Breach('it sends an item of a call that there is not')
    // None where a thread of the guest's sent it while another answered the call.
    const task = this.#tasks[slot]
    const output = task?.more?.output
    this.#counts.bytesIn += length
    try {
      // Also where nobody reads it: its slab counts it.
      const value = this.#responses.decode(at, slot, (meta >>> 8) & 0xff, length, 0)
      if (task?.abandoned === false) output?.receive(value, length)
    } catch (error) {
      if (error instanceof Breach) throw error
      if (output !== undefined) task?.abandon(error as PolyloopError)
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
    else throw new Breach(`it writes an entry of the kind ${what}`)
  }

  /** The guest has given up the request of an answered task; its answer may still be on its way. */
  #release(slot: number): void {
    if (slot >>> 0 >= this.#block.slots) {
      this.#flows.release(slot)
      return
    }
    if (this.#tasks[slot] === undefined && !this.#held.has(slot)) {
      if (this.#isOver) return
      throw new Breach('it lets go of a request that it does not hold')
    }
    if (this.#held.released(slot)) {
      this.#recycle(slot)
      this.#admission.giveUp()
    }
  }

  /** From now on the loop is kept alive until every call is answered. */
  awaitAll(): void {
    this.#awaitsAll = true
    this.publish()
  }

  /** Told once, when no call is in flight; at once where none is. */
  whenIdle(then: () => void): void {
    this.#onIdle = then
    this.awaitAll()
    if (this.#calls === 0) this.#settleIdle()
  }

  /** The guest is gone from here: memory that it was lent may serve others, unless it may read it still. */
  takeBack(mayRead: boolean): void {
    this.#carriers.clear(mayRead)
  }

  /** The guest has died: no response will come. Rejects every call in flight. */
  fail(error: () => PolyloopError): void {
    this.#isOver = true
    for (const [slot, task] of this.#tasks.entries()) {
      if (task === undefined) continue
      this.#tasks[slot] = undefined
      task.slot = -1
      this.#admission.leave(task.size)
      task.onAbandon = undefined
      if (!task.abandoned) this.#counts.fail(error().code)
      task.more?.input?.finish()
      task.abandon(error())
    }
    this.#admission.giveUp(this.#held.clear())
    this.#flows.clear()
    this.#calls = 0
    this.#awaited = 0
    this.publish()
    this.#settleIdle()
  }
}
