// SPDX-License-Identifier: Apache-2.0
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** A line that never ends is handed on in pieces of this many UTF-16 units. */
const longestLine = 1 << 20
/** Lines that are handed on in one turn of the loop: a guest that writes without end leaves others their turn. */
const linesAtOnce = 256
/** Milliseconds that the streams of a process that has ended may stay open, because others have inherited them. */
const patience = 200

/** Milliseconds without more after which a part of a line is one that is meant to be seen: a line may come in pieces. */
const pause = 20

/** What becomes of a line; a promise if the next one has to wait. */
type Take = (line: string) => unknown

/**
 * Hands a stream on in whole lines, each with its end.
 *
 * @param takePart - takes what has come of a line if nothing follows for a while, as of a prompt: all of it each time
 */
export function lines(from: Readable, take: Take, takePart: Take): void {
  const takeOut = split(from, take, takePart)
  from.on('end', () => {
    const rest = takeOut()
    if (rest !== '') take(`${rest}\n`)
  })
}

/**
 * Hands on a stream that says something in each line: a line without its end was not said. A longer one than anybody
 * says comes in pieces that say nothing.
 */
export function messages(from: Readable, take: Take): void {
  split(from, take)
}

/** Returns what takes out of it what has come of a line that has not ended. */
function split(from: Readable, take: Take, takePart?: Take): () => string {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  let timer: NodeJS.Timeout | undefined
  const handRestOn = (): void => {
    if (takePart !== undefined) void handOn(from, [rest], takePart)
  }
  from.on('data', async (bytes: Buffer) => {
    clearTimeout(timer)
    rest += decoder.write(bytes)
    const end = rest.lastIndexOf('\n') + 1
    const whole: string[] = rest.slice(0, end).match(/[^\n]*\n/g) ?? []
    rest = rest.slice(end)
    if (rest.length > longestLine) {
      whole.push(`${rest}\n`)
      rest = ''
    }
    if (whole.length > 0) await handOn(from, whole, take)
    clearTimeout(timer)
    if (rest !== '' && takePart !== undefined) timer = setTimeout(handRestOn, pause).unref()
  })
  from.on('close', () => clearTimeout(timer))
  return () => {
    clearTimeout(timer)
    const text = rest
    rest = ''
    return text
  }
}

/** Hands lines on, some in each turn of the loop, and reads no more meanwhile. */
async function handOn(from: Readable, whole: readonly string[], take: Take): Promise<void> {
  from.pause()
  for (const [index, line] of whole.entries()) {
    if (index > 0 && index % linesAtOnce === 0) await new Promise((resolve) => setImmediate(resolve))
    const waits = take(line)
    if (waits !== undefined) await waits
  }
  from.resume()
}

/** What a process that has ended wrote before its end is read before its end is told. */
export function streamsEnd(streams: readonly Readable[]): Promise<void> {
  return new Promise((resolve) => {
    let open = streams.length
    const timer = setTimeout(finish, patience)
    function finish(): void {
      clearTimeout(timer)
      for (const stream of streams) stream.destroy()
      resolve()
    }
    const ended = (): void => {
      if (--open === 0) finish()
    }
    for (const stream of streams) {
      if (stream.readableEnded || stream.destroyed) ended()
      else stream.once('close', ended).once('end', () => stream.destroy())
    }
  })
}
