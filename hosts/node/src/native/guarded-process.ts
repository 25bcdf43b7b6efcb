// SPDX-License-Identifier: Apache-2.0
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { GuestExit } from '../common/errors.ts'
import { toPolyloop } from '../common/reasons.ts'
import { fieldsOf } from '../common/words.ts'
import { native, nativeFile } from './addon.ts'
import { hold, release } from './keep-alive.ts'
import { messages } from './lines.ts'

/** A descriptor of a process that is started: none, the far end of a pipe or a socket, or one of this process's. */
export type ProcessFile = 'nothing' | 'pipe' | 'socket' | number

/** What the add-on's `startProcess` returns, as JSON. */
type Start =
  | { readonly files: (number | null)[]; readonly pid: number }
  | { readonly errno: number; readonly message: string }

/** What a guard says of its process, as `crates/guest-process/src/guard.rs` writes it. */
export type GuardNews =
  | { readonly event: 'started'; readonly pid: number }
  | { readonly event: 'unrunnable'; readonly missing: boolean; readonly message: string }
  | { readonly event: 'exit'; readonly code: number | null; readonly signal: string | null }

/** Milliseconds in which a guard that is asked to ends its process; one that cannot run never does. */
const guardWithin = 2_000

/**
 * Starts our own program, which guards processes, brokers guests and serves them. Returns its number and this
 * process's ends of its descriptors.
 *
 * @throws overloaded, too-large, init-failed
 */
function startProcess(args: readonly string[], files: readonly ProcessFile[]): [number, (Socket | undefined)[]] {
  const program = nativeFile('polyloop-guest-process')
  const environment = Object.entries(process.env).map(([name, value]) => `${name}=${value}`)
  const start = JSON.parse(
    native.startProcess(JSON.stringify({ command: [program, ...args], environment, files })),
  ) as Start
  if ('errno' in start) {
    const { errno, message } = start
    const error = Object.assign(new Error(message), { code: getSystemErrorName(-errno) })
    throw toPolyloop(error, `${program} cannot be started`)
  }
  const sockets = start.files.map((fd) => (fd === null ? undefined : new Socket({ fd })))
  // Who is gone reads nothing more; its end is told of by itself.
  for (const socket of sockets) socket?.on('error', () => {}).unref()
  return [start.pid, sockets]
}

/** A process that is gone with all that it started once its end is told. None of its sockets keeps the loop alive. */
export class Guarded {
  readonly stdout: Socket
  readonly stderr: Socket
  /** This process's ends of its further descriptors, those that are sockets. */
  readonly sockets: readonly Socket[]
  readonly #guard: number
  readonly #line: Socket
  readonly #tell: (news: GuardNews) => void
  #state: 'starting' | 'running' | 'over' = 'starting'
  #timer: NodeJS.Timeout | undefined

  /**
   * @param files - its descriptors beyond the standard streams
   * @param tell - told `started` and `exit`, or `unrunnable`, once each
   * @throws init-failed
   */
  constructor(command: readonly string[], files: readonly ProcessFile[], tell: (news: GuardNews) => void) {
    const [pid, sockets] = startProcess(['guard', ...command], ['socket', 'pipe', 'pipe', ...files])
    const [line, stdout, stderr, ...others] = sockets as [Socket, Socket, Socket, ...(Socket | undefined)[]]
    this.#guard = pid
    this.#line = line
    this.stdout = stdout
    this.stderr = stderr
    this.sockets = others.filter((socket) => socket !== undefined)
    this.#tell = tell
    this.#listen()
  }

  #listen(): void {
    messages(this.#line, (line) => this.#said(line))
    this.#line.once('close', () => {
      // The process is killed with its guard.
      if (this.#state === 'running') this.#over({ event: 'exit', code: null, signal: 'SIGKILL' })
      else this.#over({ event: 'unrunnable', missing: false, message: 'its guard was killed' })
    })
  }

  #said(line: string): void {
    const news = toNews(line)
    if (news === undefined) this.kill()
    else if (news.event === 'exit') this.#over({ ...news, signal: signalName(news.signal) })
    else if (news.event === 'unrunnable') this.#over(news)
    else {
      this.#state = 'running'
      this.#tell(news)
    }
  }

  #over(news: GuardNews): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    clearTimeout(this.#timer)
    // Its descriptor is free before anybody hears of the end.
    this.#line.destroy()
    this.#tell(news)
  }

  /** Kills it, and what it has started. */
  kill(): void {
    if (this.#state === 'over') return
    this.#line.end()
    native.resumeProcess(this.#guard)
    this.#timer ??= setTimeout(() => native.killProcess(this.#guard), guardWithin).unref()
  }
}

/** The name of a signal that a guard, or a broker, has told by its number. */
export function signalName(number: unknown): string | null {
  if (number === null) return null
  const name = Object.entries(constants.signals).find(([, signal]) => signal === number)?.[0]
  return name ?? `signal ${number}`
}

/** How a process has ended, in words. */
export function howOf({ code, signal }: Pick<GuestExit, 'code' | 'signal'>): string {
  if (signal !== null) return `was killed by ${signal}`
  return code === null ? 'cannot be ended' : `exited with code ${code}`
}

/** Reads what a guard says; undefined if it is nothing that a guard says. */
function toNews(line: string): GuardNews | undefined {
  const news = fieldsOf(line)
  return typeof news.event === 'string' ? (news as unknown as GuardNews) : undefined
}

/** Characters that a program that is run may say; who says more, and perhaps without end, is killed. */
const mostSaid = 1 << 20

/** How a program has ended, and what it said. */
export interface Ran {
  /** Why it was killed, if it was: it took longer, or said more, than it might. */
  readonly excess: 'time' | 'words' | undefined
  readonly stdout: string
  readonly stderr: string
  readonly end: Exclude<GuardNews, { event: 'started' }>
}

/**
 * Runs a program to its end, which keeps the loop alive.
 *
 * @param within - milliseconds after which it is killed
 * @throws overloaded, too-large, init-failed if no process can be started
 */
export async function runGuarded(command: readonly string[], within: number): Promise<Ran> {
  const holder = {}
  hold(holder, 'a guest process starts')
  try {
    return await new Promise<Ran>((resolve, reject) => {
      const said = { stdout: '', stderr: '' }
      let excess: Ran['excess']
      let timer: NodeJS.Timeout | undefined
      let open = 3
      let end: Ran['end'] | undefined
      const over = (): void => {
        if (--open > 0 || end === undefined) return
        clearTimeout(timer)
        resolve({ ...said, excess, end })
      }
      try {
        const guarded = new Guarded(command, [], (news) => {
          if (news.event === 'started') return
          end = news
          over()
        })
        const exceed = (what: 'time' | 'words'): void => {
          excess ??= what
          guarded.kill()
        }
        timer = setTimeout(() => exceed('time'), within)
        for (const name of ['stdout', 'stderr'] as const) {
          guarded[name].setEncoding('utf8').on('data', (text: string) => {
            if (said[name].length + text.length <= mostSaid) said[name] += text
            else exceed('words')
          })
          guarded[name].once('close', over)
        }
      } catch (error) {
        reject(error as Error)
      }
    })
  } finally {
    release(holder)
  }
}
