// SPDX-License-Identifier: Apache-2.0

import type { Admission } from '../call/admission.ts'
import type { Call, CallExtras, CallTarget } from '../call/call.ts'
import type { Dispatcher } from '../call/dispatcher.ts'
import type { RequestStream } from '../call/request-stream.ts'
import { Breach, PolyloopError } from '../common/errors.ts'
import { flag, header, kind, privatePins } from '../common/layout.ts'
import type { Manifest } from '../common/manifest.ts'
import { canPin, native } from '../native/addon.ts'
import type { Counters } from '../observe/counters.ts'
import type { Block } from './block.ts'
import { type CompletionReader, CompletionRing } from './completion.ts'
import { ControlRing } from './control.ts'
import { RequestBuffers } from './request-buffers.ts'
import type { RequestHeap } from './request-heap.ts'
import { type ReadingOptions, Responses } from './responses.ts'
import { Slots } from './slots.ts'
import { StreamCredit } from './stream-credit.ts'
import { type EntryExtras, SubmissionRing } from './submission.ts'

/** Who is told what a drain finds beside responses. */
export interface ConnectionListener {
  /** The guest has broken a rule outside of a drain. */
  breached(error: Breach): void
  /** Lines of log wait. */
  logged(): void
}

/** The host's end of the rings to one instance: calls go out at one end and come back at the other. */
export class Connection implements CallTarget, CompletionReader {
  /** What the instance declares, once it is ready. */
  manifest: Manifest | undefined
  readonly #dispatcher: Dispatcher
  readonly #listener: ConnectionListener
  readonly #admission: Admission
  readonly #counters: Counters
  readonly #block: Block
  /** How many calls are outstanding, in memory that no other process can write. On threads nobody reads it. */
  readonly #outstanding: Int32Array
  readonly #submissions: SubmissionRing
  readonly #completions: CompletionRing
  readonly #control: ControlRing
  readonly #requestBuffers: RequestBuffers
  readonly #responses: Responses
  readonly #streamCredit: StreamCredit
  readonly #slots: Slots
  /** Told when nobody waits for a call in flight, or when none is in flight. */
  #onQuiet: { readonly isQuiet: () => boolean; readonly then: () => void } | undefined
  /** Whether the loop is kept alive until abandoned calls are answered, too. */
  #awaitsAll = false
  #calls = 0
  /** Calls that have not settled. They keep the loop alive; an abandoned one, which may never end, does not. */
  #awaited = 0
  #isOver = false

  constructor(
    id: number,
    block: Block,
    options: ReadingOptions,
    dispatcher: Dispatcher,
    requests: RequestHeap,
    listener: ConnectionListener,
  ) {
    this.#listener = listener
    this.#dispatcher = dispatcher
    this.#admission = dispatcher.admission
    this.#counters = dispatcher.counters
    this.#block = block
    const isRemote = options.placement === 'process'
    const own = isRemote ? native.privateMemory(id) : undefined
    this.#outstanding = own === undefined ? new Int32Array(1) : new Int32Array(own, 0, 1)
    const pins = own && new Uint8Array(own, privatePins)
    this.#requestBuffers = new RequestBuffers(id, block, requests, isRemote || !canPin(), pins)
    this.#submissions = new SubmissionRing(id, block, this.#requestBuffers)
    this.#completions = new CompletionRing(block)
    this.#control = new ControlRing(id, block, this.#requestBuffers, isRemote)
    this.#responses = new Responses(id, block, options)
    this.#streamCredit = new StreamCredit(block, this.#control, this.#requestBuffers)
    this.#slots = new Slots(block.slots)
  }

  /** How often the guest has beaten, if it has a process of its own. */
  readonly beats = (): number => Atomics.load(this.#block.words, header.beats)

  /** Requests beside the block that the guest may read. */
  get lent(): number {
    return this.#requestBuffers.lent
  }

  get calls(): number {
    return this.#calls
  }

  get doorbells(): number {
    return this.#submissions.doorbells
  }

  publish(): void {
    const own = this.#awaitsAll ? this.#calls : this.#awaited
    const all = own + this.#dispatcher.waitingAt(this)
    this.#block.words[header.outstanding] = all
    this.#outstanding[0] = all
  }

  submit(call: Call): void {
    const method = call.manifest === this.manifest ? call.method : this.#translate(call)
    if (method === undefined) return
    const slot = this.#slots.take(call)
    call.at = this
    const { extras } = call
    const entryExtras = extras === undefined ? undefined : this.#entryExtras(extras)
    try {
      call.size = this.#submissions.push(slot, call.flags, method, call.payload, call.deadline, entryExtras)
    } catch (error) {
      this.#takeBack(slot, call, error as PolyloopError)
      return
    }
    this.#admission.enter(call)
    this.#counters.calls++
    this.#counters.requestBytes += call.size
    this.#calls++
    this.#awaited++
    this.publish()
    if (extras?.requestStream !== undefined) this.#feed(slot, extras.requestStream)
  }

  /** The number of a function here that was called by that of older code; rejects the call if the function is gone. */
  #translate(call: Call): number | undefined {
    const method = call.manifest === undefined ? undefined : this.manifest?.translate(call.method, call.manifest)
    if (method !== undefined) return method
    const name = call.manifest?.methods[call.method]?.name ?? 'handle'
    const message = `the guest has no function '${name}' any more: it was reloaded while the call waited`
    this.#dispatcher.refuse(call, new PolyloopError('not-found', message))
    return undefined
  }

  #entryExtras({ responseStream, context }: CallExtras): EntryExtras {
    return { credit: responseStream === undefined ? 0 : this.#streamCredit.lend(responseStream), context }
  }

  /** The request of a call has found no place. */
  #takeBack(slot: number, call: Call, error: PolyloopError): void {
    this.#requestBuffers.free(slot)
    this.#slots.undo(slot)
    if (call.extras !== undefined) this.#endStreams(call.extras)
    this.#dispatcher.refuse(call, error)
  }

  #feed(slot: number, requestStream: RequestStream): void {
    const count = (bytes: number): void => {
      this.#counters.requestBytes += bytes
    }
    const { send, end, whenFree } = this.#streamCredit.sink(slot, this.#slots.generation(slot), requestStream, count)
    requestStream.start({
      send: (item) => {
        try {
          return send(item)
        } catch (error) {
          if (!(error instanceof Breach)) throw error
          // The item waits, and the guest's end will end its stream.
          this.#listener.breached(error)
          return undefined
        }
      },
      end: () => this.#say(end),
      whenFree,
    })
  }

  abandon(call: Call): void {
    this.#awaited--
    this.publish()
    const { slot } = call
    if (slot >= 0) this.#say(() => this.#control.cancel(slot, this.#slots.generation(slot)))
    this.#settleQuiet()
  }

  awaited(): readonly Call[] {
    return this.#slots.all().filter((call) => !call.abandoned)
  }

  credit(call: Call, items: number, bytes: number): void {
    const { slot } = call
    if (slot >= 0) this.#say(() => this.#control.credit(slot, this.#slots.generation(slot), items, bytes))
  }

  /** Says something in the control ring. If the guest lets it fill up, the listener is told, not the caller. */
  #say(what: () => void): void {
    try {
      what()
    } catch (error) {
      this.#listener.breached(error as Breach)
    }
  }

  /**
   * Drains at most `limit` completions. Returns whether more wait.
   *
   * @throws Breach if the ring holds what no sound guest writes
   */
  drain(limit: number): boolean {
    const more = this.#completions.drain(limit, this)
    this.#placesAreFree()
    return more
  }

  /** Who waits for places, or for the last call, may go on. After every drain, and after a death. */
  #placesAreFree(): void {
    this.#dispatcher.admit()
    this.publish()
    this.#settleQuiet()
  }

  /** Passes over what a guest writes that has broken a rule. */
  skip(): void {
    this.#completions.skip()
  }

  answered(at: number, meta: number): void {
    const slot = this.#block.words[at] as number
    if (slot >>> 0 < this.#slots.count) this.#settle(at, slot, meta)
    else this.#streamCredit.givenBack(slot, (meta >>> 8) & 0xff)
  }

  /** A response has come. */
  #settle(at: number, slot: number, meta: number): void {
    const length = (this.#block.words[at + 3] as number) >>> 0
    const call = this.#slots.at(slot)
    if (call === undefined) {
      // After the guest's death everything is rejected: what its threads still answer is dropped.
      if (this.#isOver) return void this.#counters.late++
      throw new Breach('it answers a call that it was not given')
    }
    const flags = (meta >>> 8) & 0xff
    this.#counters.responseBytes += length
    if (call.extras?.observer !== undefined) {
      const times = call.timed ? this.#counters.times(call, this.#completions.taken(at)) : undefined
      call.extras.observer.answered(length, call.abandoned, times)
    }
    // STOP 9 settle
    try {
      if (call.extras !== undefined) this.#endStreams(call.extras)
      const listener = call.abandoned ? undefined : call.extras?.onContext
      const value = this.#responses.decode(at, slot, flags, length, meta >>> 16, listener)
      if (!call.abandoned) call.succeed(value)
    } catch (error) {
      // The call stays in flight, and is rejected with the others.
      if (error instanceof Breach) throw error
      if (!call.abandoned) this.#reject(call, error as PolyloopError)
    }
    if (call.timed) this.#counters.end(call, this.#completions.taken(at))
    if (call.abandoned) this.#counters.late++
    else {
      this.#awaited--
      call.release?.()
      // A reader may leave its stream before it hears of this.
      call.onAbandon = undefined
    }
    this.#slots.leave(slot)
    this.#calls--
    this.#admission.leave(call)
    if (this.#slots.held.answered(slot, (flags & flag.held) !== 0)) this.#recycle(slot)
    else this.#admission.keep()
  }

  #reject(call: Call, error: PolyloopError): void {
    this.#counters.fail(error.code)
    call.fail(error)
  }

  #endStreams({ requestStream, responseStream }: CallExtras): void {
    requestStream?.finish()
    if (responseStream !== undefined) this.#streamCredit.takeBack(responseStream)
  }

  #recycle(slot: number): void {
    this.#requestBuffers.free(slot)
    this.#slots.recycle(slot)
  }

  other(at: number, what: number): void {
    const { words } = this.#block
    if (what === kind.item) this.#item(at, words[at + 1] as number)
    else if (what === kind.seal) this.#sealed(at)
    else if (what === kind.log) this.#listener.logged()
    else if (what === kind.release) this.#release(words[at] as number)
    else throw new Breach(`it writes an entry of the kind ${what}`)
  }

  #sealed(at: number): void {
    const { words } = this.#block
    this.#responses.slabs.seal(words[at + 4] as number, words[at + 6] as number, (words[at + 3] as number) >>> 0)
  }

  /** An item of a response stream has come. */
  #item(at: number, meta: number): void {
    const { words } = this.#block
    const slot = words[at] as number
    const length = (words[at + 3] as number) >>> 0
    if (slot >>> 0 >= this.#slots.count) throw new Breach('it sends an item of a call that does not exist')
    // None if a thread of the guest's sent it while another answered the call.
    const call = this.#slots.at(slot)
    const responseStream = call?.extras?.responseStream
    this.#counters.responseBytes += length
    try {
      // ITEM 4 drain
      // Also if nobody reads it: its slab counts it.
      const value = this.#responses.decode(at, slot, (meta >>> 8) & 0xff, length, 0)
      if (call?.abandoned === false) responseStream?.receive(value, length)
    } catch (error) {
      if (error instanceof Breach) throw error
      if (responseStream !== undefined) call?.abandon(error as PolyloopError)
    }
  }

  /** The guest has given up the request of an answered call; its answer may still be on its way. */
  #release(slot: number): void {
    if (slot >>> 0 >= this.#slots.count) {
      this.#streamCredit.release(slot)
      return
    }
    const { held } = this.#slots
    if (this.#slots.at(slot) === undefined && !held.has(slot)) {
      if (this.#isOver) return
      throw new Breach('it lets go of a request that it does not hold')
    }
    if (held.released(slot)) {
      this.#recycle(slot)
      this.#admission.giveUp()
    }
  }

  /** Resolves when nobody waits for a call in flight any more; those that were abandoned may go on. */
  settled(): Promise<void> {
    return this.#quiet(() => this.#awaited === 0)
  }

  /** Resolves when no call is in flight. Until then the loop is kept alive, for abandoned calls, too. */
  idle(): Promise<void> {
    this.#awaitsAll = true
    this.publish()
    return this.#quiet(() => this.#calls === 0)
  }

  #quiet(isQuiet: () => boolean): Promise<void> {
    return new Promise((then) => {
      this.#onQuiet = { isQuiet, then }
      this.#settleQuiet()
    })
  }

  #settleQuiet(): void {
    if (this.#onQuiet?.isQuiet() !== true) return
    const { then } = this.#onQuiet
    this.#onQuiet = undefined
    then()
  }

  /** The guest is gone from here: memory that it was lent may serve others, unless it may still be read. */
  takeBack(mayRead: boolean): void {
    this.#requestBuffers.clear(mayRead)
  }

  /** The guest has died: no response will come. Rejects every call in flight. */
  fail(error: () => PolyloopError): void {
    // DEATH 3 reject
    this.#isOver = true
    for (const call of this.#slots.clear()) {
      this.#admission.leave(call)
      call.onAbandon = undefined
      if (!call.abandoned) this.#counters.fail(error().code)
      call.extras?.requestStream?.finish()
      call.abandon(error())
    }
    this.#admission.giveUp(this.#slots.held.clear())
    this.#streamCredit.clear()
    this.#calls = 0
    this.#awaited = 0
    this.#placesAreFree()
  }
}
