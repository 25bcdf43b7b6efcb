// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { type Block, version } from './block.ts'
import { type Deferred, deferred } from './deferred.ts'
import { type GuestExit, PolyloopError } from './errors.ts'
import type { GuestStart } from './home.ts'
import { joinShared } from './hub.ts'
import { type JoinEvent, native, nativeFile } from './native.ts'
import type { Settings } from './options.ts'
import { lines, streamsEnd } from './reading.ts'
import { type GuestProcess, howOf, unkillableAfter, unknownExit, unrunnable, type Witness } from './remote.ts'

/** What `native.sharedGuestSockets` returns, as JSON: descriptors of the lines to the keeper and to the guest, and its process. */
interface Place {
  readonly broker: number
  readonly lifeline: number
  readonly pid: number
}

/** Milliseconds in which the guest's place must be taken: whoever has it may not answer. */
const takenWithin = 10_000

/** A line of the keeper, as `crates/guest-process/src/broker.rs` writes it. */
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
 * A process that serves several hosts. None of them is its parent: it has a keeper, a process that the first of them
 * starts, and the others find.
 */
export class SharedProcess implements GuestProcess {
  pid: number | undefined
  readonly #id: number
  readonly #block: Block
  readonly #name: string
  readonly #command: readonly [string, ...string[]]
  readonly #drainTimeout: number
  /** Whether this host is to hear whether it is the one to act on changes of the code. One instance tells it of all. */
  readonly #watches: boolean
  readonly #witness: Witness
  #isAnew = false
  #keeper: Socket | undefined
  #life: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #taking: Deferred<void> | undefined
  /** It has ended, and what it said before is read. */
  #ending = false
  /** How often another one is looked for where this one ends by itself: it was about to when this host came. */
  #triesLeft = 5
  #over = false

  /** @param index - which of the runtime's instances it serves */
  constructor(id: number, block: Block, guest: GuestStart, settings: Settings, index: number, witness: Witness) {
    this.#id = id
    this.#block = block
    this.#name = nameOf(guest, settings, index)
    this.#command = guest.command
    this.#drainTimeout = settings.drainTimeout
    this.#watches = settings.hotReload && index === 0
    this.#witness = witness
  }

  begin(anew: boolean): void {
    this.#isAnew = anew
    // Nobody else has it, so nobody was about to leave it.
    if (anew) this.#triesLeft = 0
    this.#look()
  }

  #look(): void {
    const name = this.#isAnew ? undefined : this.#name
    joinShared(this.#id, name, (event, payload) => this.#heard(event, payload))
  }

  #heard(event: JoinEvent, payload: string): void {
    if (event === 'absent') this.#found(Number(payload))
    else if (event === 'joined') this.#joined()
    else this.#refused(JSON.parse(payload) as { missing?: boolean; message: string })
  }

  /** Nobody serves it yet: starts the keeper, which does. */
  #found(socket: number): void {
    const args = ['broker', String(this.#drainTimeout), this.#name, ...this.#command]
    const failed = ({ message }: Error): void => this.#refused({ message })
    try {
      const stdio = ['ignore', 'ignore', 'ignore', socket] as const
      const keeper = spawn(nativeFile('polyloop-guest-process'), args, { detached: true, stdio: [...stdio] })
      keeper.on('error', failed).unref()
      // It may outlive what this host has of the guest, which is not to be kept for its sake.
      keeper.once('spawn', () => keeper.off('error', failed))
    } catch (error) {
      process.nextTick(failed, error as Error)
    }
  }

  #joined(): void {
    const place = JSON.parse(native.sharedGuestSockets(this.#id)) as Place
    const [keeper, life] = [new Socket({ fd: place.broker }), new Socket({ fd: place.lifeline })]
    this.pid = place.pid
    this.#keeper = keeper
    this.#life = life
    // Who is gone reads nothing more; its end is told of by itself.
    for (const line of [keeper, life]) line.on('error', () => {})
    lines(life, (line) => this.#witness.said(line))
    lines(keeper, (line) => this.#news(line))
    keeper.once('close', () => {
      if (this.#keeper === keeper) void this.#exited('has ended with its keeper', unknownExit)
    })
    life.once('close', () => {
      if (this.#life === life) this.#end('has hung up')
    })
    if (this.#watches) keeper.write('watch\n')
    this.#witness.reached()
  }

  started(): void {
    this.#triesLeft = 0
    this.#block.porch = new Int32Array(native.parkingWords(this.#id))
  }

  async takeOver(): Promise<void> {
    const taking = deferred<void>()
    this.#taking = taking
    const slow = `the one that has it does not answer within ${takenWithin} ms: end its keeper`
    // A loop that was busy for so long reads what has come before it judges.
    const timer = setTimeout(() => setImmediate(() => taking.reject(new Error(slow))), takenWithin)
    if (this.#keeper === undefined) taking.reject(new Error(ended))
    else this.#keeper.write('take\n')
    try {
      await taking.promise
    } catch (cause) {
      const message = `a new guest cannot take the place of the one that is shared: ${(cause as Error).message}`
      throw new PolyloopError('init-failed', message, { cause })
    } finally {
      clearTimeout(timer)
    }
  }

  #refused({ missing, message }: { missing?: boolean; message: string }): void {
    if (this.#over) return
    this.#part()
    if (missing === undefined) this.#witness.refused('init-failed', `the shared guest cannot be reached: ${message}`)
    else this.#witness.refused(...unrunnable(this.#command[0], missing, message))
  }

  #news(line: string): Promise<void> | undefined {
    const { event, stream, text, code = null, signal = null, lines: last = [], ...more } = JSON.parse(line) as News
    if (event === 'output') return this.#witness.printed(String(text), stream === 'stderr' ? 'stderr' : 'stdout')
    const exit = { code, signal: signal === null ? null : signalName(signal), lines: last }
    if (event === 'exit') void this.#exited(howOf(exit), exit)
    else if (event === 'moved') this.#witness.moved()
    else if (event === 'first') this.#witness.first(Number(more.since))
    else if (event === 'taken') this.#taking?.resolve()
    else if (event === 'untaken') this.#taking?.reject(new Error(more.message))
    return undefined
  }

  write(text: string): void {
    this.#life?.write(text)
  }

  hold(on: boolean): void {
    for (const line of [this.#keeper, this.#life]) {
      if (on) line?.ref()
      else line?.unref()
    }
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
    this.#end('was left', this.#drainTimeout)
  }

  kill(): void {
    this.#triesLeft = 0
    if (this.#keeper === undefined) this.abandon()
    else if (!this.#ending && !this.#over) {
      this.#keeper.write('kill\n')
      this.#end('cannot be ended')
    }
  }

  /** Leaves it to the others. */
  abandon(): void {
    if (this.#over) return
    this.#part()
    process.nextTick(() => this.#witness.ended('was left', unknownExit))
  }

  /** Its end is told soon, or nobody waits for it any more. */
  #end(how: string, within: number = unkillableAfter): void {
    if (!this.#over) this.#timer ??= setTimeout(() => this.#leave(how, unknownExit), within)
  }

  async #exited(how: string, exit: GuestExit): Promise<void> {
    if (this.#ending || this.#over) return
    this.#ending = true
    this.hold(true)
    if (this.#life !== undefined) await streamsEnd([this.#life])
    this.#leave(how, exit)
  }

  #leave(how: string, exit: GuestExit): void {
    if (this.#over) return
    const wasEnding = this.#life?.bytesRead === 0 || exit.code === 0
    this.#part()
    if (wasEnding && this.#triesLeft-- > 0) this.#retry()
    else this.#witness.ended(how, exit)
  }

  #retry(): void {
    this.#over = false
    this.#ending = false
    try {
      this.#look()
    } catch (error) {
      this.#refused(error as Error)
    }
  }

  #part(): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#taking?.reject(new Error(ended))
    this.#keeper?.destroy()
    this.#life?.destroy()
    this.#keeper = undefined
    this.#life = undefined
  }
}

function signalName(number: number): string {
  const name = Object.entries(constants.signals).find(([, signal]) => signal === number)?.[0]
  return name ?? `signal ${number}`
}

/** The name by which those find each other who share a guest: they have said the same. */
function nameOf({ command, library, loader }: GuestStart, settings: Settings, index: number): string {
  const { config, threads, encoding, maxPayload, maxMemory, heartbeat, drainTimeout, shared } = settings
  const group = typeof shared === 'string' ? shared : [...primary()]
  const guest = [command, library, loader, config, threads, encoding.name]
  const all = [version, process.getuid?.(), group, index, guest, maxPayload, maxMemory, heartbeat, drainTimeout]
  return `polyloop-${createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 40)}`
}

/**
 * The process whose workers share a guest, and when it began, for its number may be another's later: the primary of a
 * cluster, or this one.
 */
function primary(): readonly [pid: number, since: string | undefined] {
  // What this process was started with: threads of a cluster's worker are not told that they are.
  const isOfCluster = /(^|\0)NODE_UNIQUE_ID=/.test(readFileSync('/proc/self/environ', 'latin1'))
  const pid = isOfCluster ? process.ppid : process.pid
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name may hold anything, but ends with the last parenthesis.
  return [pid, stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]]
}
