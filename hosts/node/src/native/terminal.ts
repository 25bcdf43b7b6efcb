// SPDX-License-Identifier: Apache-2.0
import { isatty } from 'node:tty'
import { isMainThread } from 'node:worker_threads'
import { native } from './addon.ts'

let isDone = false

/**
 * Has programs that guests start on threads keep their streams at a terminal. The add-on hands the streams on when a
 * guest starts; but when one that is a terminal is first used Node.js opens that again, and has it closed at exec.
 */
export function keepTerminal(): void {
  // The streams of a worker are no terminals, and to pass on what it prints Node.js has used those of the process.
  if (isDone || !isMainThread) return
  isDone = true
  for (const [number, name] of (['stdin', 'stdout', 'stderr'] as const).entries()) {
    if (isatty(number)) whenFirstUsed(name, () => native.handStreamsOn())
  }
}

/** Calls a function once a stream of the process was used, of which nothing is to be seen. */
function whenFirstUsed(name: 'stdin' | 'stdout' | 'stderr', then: () => void): void {
  const property = Object.getOwnPropertyDescriptor(process, name)
  // The program has put another stream in its place.
  if (property?.get === undefined || !property.configurable) return
  const { get } = property
  const first = (): unknown => {
    const stream: unknown = get.call(process)
    if (Object.getOwnPropertyDescriptor(process, name)?.get === first) Object.defineProperty(process, name, property)
    then()
    return stream
  }
  Object.defineProperty(process, name, { ...property, get: first })
}
