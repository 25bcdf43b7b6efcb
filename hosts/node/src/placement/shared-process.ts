// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { type Deferred, deferred } from '../common/deferred.ts'
import { type GuestExit, PolyloopError } from '../common/errors.ts'
import type { Settings } from '../common/options.ts'
import type { GuestStart } from '../guests/start.ts'
import { type JoinEvent, native, nativeFile } from '../native/addon.ts'
import { joinShared } from '../native/hub.ts'
import { hold, release } from '../native/keep-alive.ts'
import { howOf, unkillableAfter, unknownExit, unreachable, unrunnable } from './ending.ts'
import { hear } from './lifeline.ts'
import { lines, streamsEnd } from './lines.ts'
import type { OnInstanceEvent } from './placement.ts'
import type { Printer } from './printer.ts'
import type { GuestProcess } from './process.ts'
import { shareName } from './share-name.ts'

/** What `native.sharedGuestSockets` returns, as JSON: descriptors of the sockets to the broker and to the guest. */
interface Sockets {
  readonly broker: number
  readonly lifeline: number
  /** The guest's process. */
  readonly pid: number
}

/** Milliseconds in which the guest's place must be taken: whoever has it may not answer. */
const takenWithin = 10_000

/** A line of the broker, as `crates/guest-process/src/broker.rs` writes it. */
interface News {
  readonly event?: unknown
  readonly stream?: unknown
  readonly text?: unknown
  readonly code?: number | null
  readonly signal?: number | null
  readonly lines?: readonly string[]
  readonly since?: number
  readonly message?: string
}

const ended = 'it has ended'

/**
 * `looking`: the add-on looks for the guest that others have, or a broker is being started.
 * `joined`: there are sockets to the broker and to the guest.
 * `draining`: the guest's end was told, and what the guest said before is being read.
 * `over`: this host has told how it ended, or has left it.
 *
 * looking -> joined, over; joined -> draining, looking (the guest was about to end), over; draining -> looking, over
 */
type State = 'looking' | 'joined' | 'draining' | 'over'

/**
 * A process that serves several hosts. None of them is its parent: it has a broker, a process that the first of them
 * starts, and the others find.
 */
export class SharedProcess implements GuestProcess {
  pid: number | undefined
  readonly #id: number
  readonly #name: string
  readonly #command: readonly [string, ...string[]]
  readonly #drainTimeout: number
  /** Whether this host is to hear whether it is the one to act on changes of the code. One instance tells it of all. */
  readonly #watches: boolean
  readonly #printer: Printer
  readonly #tell: OnInstanceEvent
  #state: State = 'looking'
  #isFresh = false
  #broker: Socket | undefined
  #lifeline: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #taking: Deferred<void> | undefined
  /** How often another one is looked for if this one ends by itself: it was about to when this host came. */
  #triesLeft = 5

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
    this.#command = guest.command
    this.#drainTimeout = settings.drainTimeout
    this.#watches = settings.hotReload && index === 0
    this.#printer = printer
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
    const name = this.#isFresh ? undefined : this.#name
    joinShared(this.#id, name, (event, payload) => this.#heard(event, payload))
  }

  #heard(event: JoinEvent, payload: string): void {
    if (event === 'absent') this.#startBroker(Number(payload))
    else if (event === 'joined') this.#joined()
    else this.#refused(JSON.parse(payload) as { missing?: boolean; message: string })
  }

  /** Nobody serves it yet: starts the broker, which does. */
  #startBroker(socket: number): void {
    const args = ['broker', String(this.#drainTimeout), this.#name, ...this.#command]
    const failed = ({ message }: Error): void => this.#refused({ message })
    try {
      const stdio = ['ignore', 'ignore', 'ignore', socket] as const
      const broker = spawn(nativeFile('polyloop-guest-process'), args, { detached: true, stdio: [...stdio] })
      broker.on('error', failed).unref()
      // It may outlive what this host has of the guest, which is not to be kept for its sake.
      broker.once('spawn', () => broker.off('error', failed))
    } catch (error) {
      process.nextTick(failed, error as Error)
    }
  }

  #joined(): void {
    const sockets = JSON.parse(native.sharedGuestSockets(this.#id)) as Sockets
    const [broker, lifeline] = [new Socket({ fd: sockets.broker }), new Socket({ fd: sockets.lifeline })]
    this.#state = 'joined'
    this.pid = sockets.pid
    this.#broker = broker
    this.#lifeline = lifeline
    // Who is gone reads nothing more; its end is told of by itself.
    for (const socket of [broker, lifeline]) socket.on('error', () => {}).unref()
    hear(lifeline, (line) => this.#tell({ type: 'line', line }))
    lines(broker, (line) => this.#news(line))
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
    if (this.#state === 'over') return
    this.#part()
    const why = missing === undefined ? unreachable(message) : unrunnable(this.#command[0], missing, message)
    this.#tell({ type: 'refused', ...why })
  }

  #news(line: string): Promise<void> | undefined {
    const { event, stream, text, code = null, signal = null, ...more } = JSON.parse(line) as News
    if (event === 'output') {
      return this.#printer.line(String(text), stream === 'stderr' ? 'stderr' : 'stdout', this.pid)
    }
    const exit = { code, signal: signal === null ? null : signalName(signal), lines: more.lines ?? [] }
    if (event === 'exit') void this.#exited(howOf(exit), exit)
    else if (event === 'moved') this.#tell({ type: 'moved' })
    else if (event === 'first') this.#tell({ type: 'first', since: Number(more.since) })
    else if (event === 'taken') this.#taking?.resolve()
    else if (event === 'untaken') this.#taking?.reject(new Error(more.message))
    return undefined
  }

  write(text: string): void {
    this.#lifeline?.write(text)
  }

  close(): void {
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
    if (this.#lifeline !== undefined) await streamsEnd([this.#lifeline])
    this.#leave(how, exit)
  }

  #leave(how: string, exit: GuestExit): void {
    if (this.#state === 'over') return
    const wasEnding = this.#lifeline?.bytesRead === 0 || exit.code === 0
    this.#part()
    if (!wasEnding || this.#triesLeft-- <= 0) this.#tell({ type: 'ended', how, exit })
    else this.#retry()
  }

  #retry(): void {
    try {
      this.#look()
    } catch (error) {
      this.#refused(error as Error)
    }
  }

  #part(): void {
    this.#state = 'over'
    release(this)
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#taking?.reject(new Error(ended))
    this.#broker?.destroy()
    this.#lifeline?.destroy()
    this.#broker = undefined
    this.#lifeline = undefined
  }
}

function signalName(number: number): string {
  const name = Object.entries(constants.signals).find(([, signal]) => signal === number)?.[0]
  return name ?? `signal ${number}`
}
