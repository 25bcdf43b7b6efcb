// SPDX-License-Identifier: Apache-2.0
import { Socket } from 'node:net'
import { type Deferred, deferred } from '../common/deferred.ts'
import { type GuestExit, PolyloopError } from '../common/errors.ts'
import type { Settings } from '../common/options.ts'
import { toPolyloop } from '../common/reasons.ts'
import type { GuestStart } from '../guests/start.ts'
import { type JoinEvent, native, nativeFile } from '../native/addon.ts'
import { joinShared } from '../native/hub.ts'
import { hold, release } from '../native/keep-alive.ts'
import { messages, streamsEnd } from '../native/lines.ts'
import { brokerNews, printedLine } from './broker-lines.ts'
import { endOf, type Refusal, unkillableAfter, unknownExit, unreachable, unrunnable } from './ending.ts'
import { hear } from './lifeline.ts'
import type { OnInstanceEvent } from './placement.ts'
import { Pieces, type Printer, type StreamName } from './printer.ts'
import type { GuestProcess } from './process.ts'
import { shareName } from './share-name.ts'

/** What `native.sharedGuestSockets` returns, as JSON: descriptors of the sockets to the broker and to the guest. */
interface Sockets {
  readonly broker: number
  /** What the guest prints comes here, so that nothing else waits for who reads that. */
  readonly output: number
  readonly lifeline: number
  /** The guest's process. */
  readonly pid: number
}

/** Milliseconds in which the guest's place must be taken: whoever has it may not answer. */
const takenWithin = 10_000

const ended = 'it has ended'

/**
 * `looking`: the add-on looks for the guest that others have, or starts a broker.
 * `joined`: there are sockets to the broker and to the guest.
 * `draining`: the guest's end was told, and what the guest said before is being read.
 * `over`: this host has told how it ended, or has left it.
 *
 * looking -> joined, over; joined -> draining, looking (the guest was about to end), over; draining -> looking, over
 */
type State = 'looking' | 'joined' | 'draining' | 'over'

/**
 * A process that serves several hosts. None of them is its parent: it has a broker, a process that the first of them
 * starts and leaves behind, and the others find.
 */
export class SharedProcess implements GuestProcess {
  pid: number | undefined
  readonly #id: number
  readonly #name: string
  readonly #guest: GuestStart
  readonly #drainTimeout: number
  /** Whether this host is to hear whether it is the one to act on changes of the code. One instance tells it of all. */
  readonly #watches: boolean
  readonly #outputs: { readonly stdout: Pieces; readonly stderr: Pieces }
  readonly #tell: OnInstanceEvent
  #state: State = 'looking'
  #isFresh = false
  #broker: Socket | undefined
  #output: Socket | undefined
  #lifeline: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #taking: Deferred<void> | undefined
  /** How often another one is looked for if this one ends by itself: it was about to when this host came. */
  #triesLeft = 5
  #hasStarted = false

  /** @param index - which of the runtime's instances it serves */
  constructor(
    id: number,
    guest: GuestStart,
    settings: Settings,
    index: number,
    printer: Printer,
    tell: OnInstanceEvent,
  ) {
    this.#id = id
    this.#name = shareName(guest, settings, index)
    this.#guest = guest
    this.#drainTimeout = settings.drainTimeout
    this.#watches = settings.hotReload && index === 0
    const outputOf = (name: StreamName): Pieces => new Pieces(printer.typist(name, () => this.pid))
    this.#outputs = { stdout: outputOf('stdout'), stderr: outputOf('stderr') }
    this.#tell = tell
  }

  begin(fresh: boolean): void {
    this.#isFresh = fresh
    // Nobody else has it, so nobody was about to leave it.
    if (fresh) this.#triesLeft = 0
    this.#look()
  }

  #look(): void {
    this.#state = 'looking'
    const wanted = {
      name: this.#name,
      isFresh: this.#isFresh,
      broker: nativeFile('polyloop-guest-process'),
      drainTimeout: this.#drainTimeout,
      command: this.#guest.command,
      // As a process that this thread starts would have it.
      environment: { ...process.env },
    }
    try {
      joinShared(this.#id, JSON.stringify(wanted), (event, payload) => this.#heard(event, payload))
    } catch (error) {
      // Told later, as what fails later is.
      process.nextTick(() => this.#refuse(toPolyloop(error, 'the shared guest cannot be looked for')))
    }
  }

  #heard(event: JoinEvent, payload: string): void {
    if (event === 'joined') this.#joined()
    else this.#refused(JSON.parse(payload) as { missing?: boolean; message: string })
  }

  #joined(): void {
    const sockets = JSON.parse(native.sharedGuestSockets(this.#id)) as Sockets
    const [broker, output, lifeline] = [sockets.broker, sockets.output, sockets.lifeline].map(
      (fd) => new Socket({ fd }),
    ) as [Socket, Socket, Socket]
    this.#state = 'joined'
    this.pid = sockets.pid
    this.#broker = broker
    this.#output = output
    this.#lifeline = lifeline
    // Who is gone reads nothing more; its end is told of by itself.
    for (const socket of [broker, output, lifeline]) socket.on('error', () => {}).unref()
    hear(lifeline, (line) => this.#tell({ type: 'line', line }))
    messages(broker, (line) => {
      if (this.#broker === broker) this.#news(line)
    })
    messages(output, (line) => (this.#output === output ? this.#print(line) : undefined))
    broker.once('close', () => {
      if (this.#broker === broker) void this.#exited('has ended with its broker', unknownExit)
    })
    lifeline.once('close', () => {
      if (this.#lifeline === lifeline) this.#expect('has hung up', unkillableAfter)
    })
    if (this.#watches) broker.write('watch\n')
    this.#tell({ type: 'reached' })
  }

  started(): ArrayBuffer {
    this.#triesLeft = 0
    this.#hasStarted = true
    return native.parkingWords(this.#id)
  }

  async takeOver(): Promise<void> {
    // RELOAD 3 take the name
    const taking = deferred<void>()
    this.#taking = taking
    hold(taking, 'a guest process starts')
    const slow = `the one that has it does not answer within ${takenWithin} ms: end its broker`
    // A loop that was busy for so long reads what has come before it judges.
    const timer = setTimeout(() => setImmediate(() => taking.reject(new Error(slow))), takenWithin)
    if (this.#broker === undefined) taking.reject(new Error(ended))
    else this.#broker.write('take\n')
    try {
      await taking.promise
    } catch (cause) {
      const message = `a new guest cannot take the place of the one that is shared: ${(cause as Error).message}`
      throw new PolyloopError('init-failed', message, { cause })
    } finally {
      clearTimeout(timer)
      release(taking)
    }
  }

  #refused({ missing, message }: { missing?: boolean; message: string }): void {
    this.#refuse(missing === undefined ? unreachable(message) : unrunnable(this.#guest, missing, message))
  }

  #refuse({ code, message }: Refusal): void {
    if (this.#state === 'over') return
    this.#part()
    this.#tell({ type: 'refused', code, message })
  }

  #news(line: string): void {
    const news = brokerNews(line)
    switch (news?.event) {
      case 'exit':
        void this.#exited(endOf(news.exit, news.hungUp), news.exit)
        break
      case 'moved':
        this.#tell({ type: 'moved' })
        break
      case 'first':
        this.#tell({ type: 'first', since: news.since })
        break
      case 'taken':
        this.#taking?.resolve()
        break
      case 'untaken':
        this.#taking?.reject(new Error(news.message))
        break
      case 'unserved':
        if (this.#hasStarted) this.#break(line)
        else this.#refused(news)
        break
      default:
        this.#break(line)
    }
  }

  #print(line: string): Promise<void> | undefined {
    const printed = printedLine(line)
    if (printed !== undefined) return this.#outputs[printed.stream].take(printed.text)
    this.#break(line)
    return undefined
  }

  /** What a broken broker says of the guest is not to be believed, and nobody else tells of it. */
  #break(line: string): void {
    void this.#exited(`is out of reach: its broker says '${line.slice(0, 200).trimEnd()}'`, unknownExit)
  }

  write(text: string): void {
    this.#lifeline?.write(text)
  }

  close(): void {
    this.#broker?.write('leave\n')
    this.write('close\n')
    this.expectEnd()
  }

  /** This host was the first to go, or the last; it is all the same to it. */
  closed(): void {
    this.#leave('was left', unknownExit)
  }

  expectEnd(): void {
    this.#expect('was left', this.#drainTimeout)
  }

  kill(): void {
    this.#triesLeft = 0
    if (this.#state === 'looking') this.abandon()
    else if (this.#state === 'joined') {
      this.#broker?.write('kill\n')
      this.#expect('cannot be ended', unkillableAfter)
    }
  }

  /** Leaves it to the others. */
  abandon(): void {
    if (this.#state === 'over') return
    this.#part()
    process.nextTick(() => this.#tell({ type: 'ended', how: 'was left', exit: unknownExit }))
  }

  /** Its end is told within some milliseconds, or nobody waits for it any more. */
  #expect(how: string, within: number): void {
    if (this.#state === 'over') return
    hold(this, 'a guest process ends')
    this.#timer ??= setTimeout(() => this.#leave(how, unknownExit), within).unref()
  }

  /** The broker has told how it ended, or has ended itself. */
  async #exited(how: string, exit: GuestExit): Promise<void> {
    if (this.#state !== 'joined') return
    // DEATH 1 end
    this.#state = 'draining'
    hold(this, 'a guest process is to be read to its end')
    await streamsEnd([this.#lifeline, this.#output].filter((socket) => socket !== undefined))
    this.#leave(how, exit)
  }

  #leave(how: string, exit: GuestExit): void {
    if (this.#state === 'over') return
    const wasEnding = this.#lifeline?.bytesRead === 0 || exit.code === 0
    this.#part()
    if (!wasEnding || this.#triesLeft-- <= 0) this.#tell({ type: 'ended', how, exit })
    else this.#look()
  }

  #part(): void {
    this.#state = 'over'
    release(this)
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#taking?.reject(new Error(ended))
    for (const socket of [this.#broker, this.#output, this.#lifeline]) socket?.destroy()
    for (const output of Object.values(this.#outputs)) void output.end()
    this.#broker = undefined
    this.#output = undefined
    this.#lifeline = undefined
  }
}
