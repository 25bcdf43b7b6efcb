// SPDX-License-Identifier: Apache-2.0
import type { Socket } from 'node:net'
import type { PolyloopErrorCode } from '../common/errors.ts'
import { toPolyloop } from '../common/reasons.ts'
import type { GuestStart } from '../guests/start.ts'
import { native } from '../native/addon.ts'
import { Guarded, type GuardNews } from '../native/guarded-process.ts'
import { hold, release } from '../native/keep-alive.ts'
import { lines, streamsEnd } from '../native/lines.ts'
import { endOf, endsAfterHangUp, unkillableAfter, unrunnable } from './ending.ts'
import { hear } from './lifeline.ts'
import type { OnInstanceEvent } from './placement.ts'
import type { Printer, Typist } from './printer.ts'
import type { GuestProcess } from './process.ts'

/** Lines that a guest wrote last, which tell of its death. */
const lastLines = 20
/** UTF-16 units of one such line. */
const lastLineLength = 500

/** The process of one guest of one host, whose guard this host has started. */
export class OwnProcess implements GuestProcess {
  readonly #id: number
  readonly #guest: GuestStart
  readonly #drainTimeout: number
  readonly #printer: Printer
  readonly #tell: OnInstanceEvent
  readonly #last: string[] = []
  pid: number | undefined
  #guarded: Guarded | undefined
  #draining: NodeJS.Timeout | undefined
  #killing: NodeJS.Timeout | undefined
  #hangingUp: NodeJS.Timeout | undefined
  /** It has hung up, and was ended for that. */
  #hasHungUp = false
  #over = false

  constructor(id: number, guest: GuestStart, drainTimeout: number, printer: Printer, tell: OnInstanceEvent) {
    this.#id = id
    this.#guest = guest
    this.#drainTimeout = drainTimeout
    this.#printer = printer
    this.#tell = tell
  }

  begin(): void {
    const files = JSON.parse(native.childDescriptors(this.#id)) as number[]
    try {
      this.#watch(new Guarded(this.#guest.command, [...files, 'socket'], (news) => this.#heard(news)))
    } catch (error) {
      // Told later, as what fails later is.
      process.nextTick(() => this.#refused(toPolyloop(error, 'the process of the guest cannot be started')))
    } finally {
      native.closeChildDescriptors(this.#id)
    }
  }

  #watch(guarded: Guarded): void {
    this.#guarded = guarded
    const lifeline = lifelineOf(guarded)
    hear(lifeline, (line) => this.#tell({ type: 'line', line }))
    lifeline.once('close', () => this.#hangsUp())
    for (const name of ['stdout', 'stderr'] as const) {
      const typist = this.#printer.typist(name, () => this.pid)
      lines(guarded[name], (line) => this.#print(line, typist), typist.part)
    }
  }

  #heard(news: GuardNews): void {
    if (news.event === 'exit') void this.#exited(news.code, news.signal)
    else if (news.event === 'unrunnable') this.#refused(unrunnable(this.#guest, news.missing, news.message))
    else {
      this.pid = news.pid
      this.#tell({ type: 'reached' })
    }
  }

  write(text: string): void {
    if (this.#guarded !== undefined) lifelineOf(this.#guarded).write(text)
  }

  /** Its idle threads park on words of the block. */
  started(): undefined {}

  /** Nobody else has one. */
  async takeOver(): Promise<void> {}

  close(): void {
    native.close(this.#id)
    this.write('close\n')
    this.expectEnd()
  }

  /** It ends after that. */
  closed(): void {}

  expectEnd(): void {
    this.#draining ??= setTimeout(() => this.kill(), this.#drainTimeout).unref()
  }

  /** Ends the process, and what it has started. */
  kill(): void {
    if (this.#guarded === undefined || this.#over) return
    this.#guarded.kill()
    hold(this, 'a guest process ends')
    this.#killing ??= setTimeout(() => void this.#exited(null, null), unkillableAfter).unref()
  }

  abandon(): void {
    this.kill()
  }

  /** Its end is told next; if not, it hears nobody any more, or its guard does not say how it has ended. */
  #hangsUp(): void {
    if (this.#over) return
    // A loop that was busy for so long reads what has come before it judges.
    this.#hangingUp = setTimeout(() => setImmediate(() => this.#missEnd()), endsAfterHangUp).unref()
  }

  #missEnd(): void {
    // One that is to end has its time for that.
    if (this.#over || this.#draining !== undefined || this.#killing !== undefined) return
    this.#hasHungUp = true
    this.kill()
  }

  #print(text: string, typist: Typist): Promise<void> | undefined {
    this.#last.push(text.trimEnd().slice(0, lastLineLength))
    if (this.#last.length > lastLines) this.#last.shift()
    return typist.line(text)
  }

  async #exited(code: number | null, signal: string | null): Promise<void> {
    if (this.#over) return
    // DEATH 1 end
    this.#end()
    hold(this, 'a guest process is to be read to its end')
    await streamsEnd(streamsOf(this.#guarded))
    release(this)
    const exit = { code, signal, lines: this.#last }
    this.#tell({ type: 'ended', how: endOf(exit, this.#hasHungUp), exit })
  }

  /** There is no process. */
  #refused(why: { readonly code: PolyloopErrorCode; readonly message: string }): void {
    if (this.#over) return
    this.#end()
    for (const stream of streamsOf(this.#guarded)) stream.destroy()
    release(this)
    this.#tell({ type: 'refused', code: why.code, message: why.message })
  }

  #end(): void {
    this.#over = true
    clearTimeout(this.#draining)
    clearTimeout(this.#killing)
    clearTimeout(this.#hangingUp)
  }
}

/** The lifeline, the last descriptor that a process is started with. */
function lifelineOf({ sockets }: Guarded): Socket {
  return sockets[0] as Socket
}

/** What the host reads of a process. */
function streamsOf(guarded: Guarded | undefined): Socket[] {
  return guarded === undefined ? [] : [guarded.stdout, guarded.stderr, lifelineOf(guarded)]
}
