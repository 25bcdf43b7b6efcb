// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path'
import { callBack } from '../common/call-back.ts'
import type { LoadOptions } from '../common/options.ts'

export type StreamName = 'stdout' | 'stderr'

/** Characters of a line that come again if it is interrupted. */
const mostAgain = 1 << 12

/** One of those who print on a stream of this process. */
interface Writer {
  /** What is known of its line that has not ended, from where that last began again. */
  line: string
}

/** Whose line is to be seen on a stream of this process and has not ended. */
const open = new Map<StreamName, Writer>()

/**
 * Hands what an instance prints to the caller's function, line by line, or to the process's own streams, where a
 * part of a line may be seen before its end.
 */
export class Printer {
  readonly #name: string
  readonly #log: LoadOptions['log']
  /** Parts of lines that the caller's function gets once they are whole. */
  readonly #parts = { stdout: '', stderr: '' }
  readonly #writers = { stdout: { line: '' }, stderr: { line: '' } }

  constructor(name: string, log: LoadOptions['log']) {
    this.#name = basename(name)
    this.#log = log
  }

  /** Prints what threads of this process say: lines, of which the last one may be a part that is to be shown. */
  print(text: string, stream: StreamName): void {
    if (this.#log === undefined) {
      show(text, stream, this.#writers[stream], '')
      return
    }
    const whole = this.#parts[stream] + text
    const end = whole.lastIndexOf('\n') + 1
    this.#parts[stream] = whole.slice(end)
    if (end > 0) this.#call(whole.slice(0, end), stream)
  }

  /** No more is printed by threads of this process. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#parts[stream]
      this.#parts[stream] = ''
      if (rest !== '') this.#call(`${rest}\n`, stream)
    }
  }

  /** What another process prints on a stream; `pid` labels its lines on the streams of this one. */
  typist(stream: StreamName, pid: () => number | undefined): Typist {
    const writer = { line: '' }
    /** How much of the line that has not ended is to be seen. */
    let shown = 0
    const type = (text: string): Promise<void> | undefined => {
      const number = pid()
      const label = number === undefined ? '' : `[${this.#name} ${number}] `
      return show(text, stream, writer, label) ? undefined : drained(stream)
    }
    return {
      part: (text) => {
        if (this.#log !== undefined) return undefined
        const more = text.slice(shown)
        shown = text.length
        return type(more)
      },
      line: (text) => {
        const more = text.slice(shown)
        shown = 0
        if (this.#log === undefined) return type(more)
        this.#call(text, stream, pid())
        return undefined
      },
    }
  }

  #call(text: string, stream: StreamName, pid?: number): void {
    callBack(() => this.#log?.(text, stream, pid === undefined ? {} : { pid }))
  }
}

/** Prints a line at a time, of which parts may be shown before. What returns a promise has the next one wait. */
export interface Typist {
  /** Shows what has come of a line so far. */
  part(text: string): Promise<void> | undefined
  /** The whole line, with its end. */
  line(text: string): Promise<void> | undefined
}

/** Characters of a line that has not ended after which it ends. */
const longestLine = 1 << 20

/** Puts lines together that come in pieces, each of which is to be seen. */
export class Pieces {
  readonly #typist: Typist
  #line = ''

  constructor(typist: Typist) {
    this.#typist = typist
  }

  /** Takes the next piece, which has the end of its line or is to be seen. */
  take(text: string): Promise<void> | undefined {
    this.#line += text
    if (!text.endsWith('\n') && this.#line.length <= longestLine) return this.#typist.part(this.#line)
    return this.end()
  }

  /** Ends the line that has not ended, if there is one. */
  end(): Promise<void> | undefined {
    const line = this.#line
    this.#line = ''
    if (line === '') return undefined
    return this.#typist.line(line.endsWith('\n') ? line : `${line}\n`)
  }
}

/**
 * Writes for one of those who print on a stream. A line that is interrupted by another's comes whole once more if
 * more of it follows, and a progress bar is not seen while another's line is.
 *
 * @returns whether the next need not wait
 */
function show(text: string, stream: StreamName, writer: Writer, label: string): boolean {
  if (text === '') return true
  const seen = open.get(stream)
  const { line } = writer
  const whole = line + text
  const isPart = !text.endsWith('\n')
  const start = Math.max(whole.lastIndexOf('\n') + 1, whole.lastIndexOf('\r'))
  writer.line = isPart ? whole.slice(start).slice(-mostAgain) : ''
  const isOther = seen !== undefined && seen !== writer
  if (isOther && !text.includes('\n') && whole.includes('\r')) return true
  // It was seen as a whole, and whoever has interrupted it has ended it.
  if (text === '\n' && line !== '' && seen !== writer && !line.includes('\r')) return true
  if (isPart) open.set(stream, writer)
  else open.delete(stream)
  // What goes back to the beginning of its line is labelled there.
  const labelled = (one: string): string => (label === '' ? one : one.replaceAll(/\r(?!\n)/g, `\r${label}`))
  if (seen === writer) return write(stream, labelled(text))
  return write(stream, `${isOther ? '\n' : ''}${label}${labelled(whole)}`)
}

/** Who waits for a stream of this process waits with all others. */
const waiting = new Map<StreamName, Promise<void>>()

/** Resolves when a stream of this process takes more, or never will. */
function drained(name: StreamName): Promise<void> {
  const known = waiting.get(name)
  if (known !== undefined) return known
  const promise = new Promise<void>((resolve) => {
    const to = process[name]
    const done = (): void => {
      to.off('drain', done).off('close', done)
      waiting.delete(name)
      resolve()
    }
    to.on('drain', done).on('close', done)
  })
  waiting.set(name, promise)
  return promise
}

/**
 * Writes to a stream of this process, as `console` does: that its reader is gone is no reason to end. The program may have
 * put another `write` in its place, which throws, or returns anything. Returns whether the next need not wait.
 */
function write(name: StreamName, text: string): boolean {
  const to = process[name]
  callBack(() =>
    to.write(text, (error) => {
      // It is told after this, as an event. Where the program listens it hears of it.
      if (error && to.listenerCount('error') === 0) to.once('error', () => {})
    }),
  )
  return to.destroyed || !to.writableNeedDrain
}
