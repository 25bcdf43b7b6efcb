// SPDX-License-Identifier: Apache-2.0
// What a broker says, as `crates/guest-process/src/broker.rs` writes it: a line of JSON each. Whatever else comes is no
// broker's, and neither half of it is believed.
import type { GuestExit } from '../common/errors.ts'
import { fieldsOf, isTexts } from '../common/words.ts'
import { signalName } from '../native/guarded-process.ts'
import type { StreamName } from './printer.ts'

/** News of the guest that a broker has. */
export type BrokerNews =
  /** The guest's process has ended; `hungUp`: it had hung up, and was to be killed for that. */
  | { readonly event: 'exit'; readonly exit: GuestExit; readonly hungUp: boolean }
  /** Others have put a newer guest in its place. */
  | { readonly event: 'moved' }
  /** This host is the one to act on changes of the code, which the guest has as of this time. */
  | { readonly event: 'first'; readonly since: number }
  /** This broker has the address now, or cannot have it. */
  | { readonly event: 'taken' }
  | { readonly event: 'untaken'; readonly message: string }
  /** The guest's process cannot serve this host. */
  | { readonly event: 'unserved'; readonly message: string }

/** A line that the guest has printed, or without its end a part of one that is to be seen. */
export interface Printed {
  readonly stream: StreamName
  readonly text: string
}

/** What a line of a broker tells; undefined if no broker says that. */
export function brokerNews(line: string): BrokerNews | undefined {
  const said = fieldsOf(line)
  const { event, message, since } = said
  switch (event) {
    case 'moved':
    case 'taken':
      return { event }
    case 'untaken':
    case 'unserved':
      return typeof message === 'string' ? { event, message } : undefined
    case 'first':
      return typeof since === 'number' ? { event, since } : undefined
    case 'exit':
      return exitOf(said)
    default:
      return undefined
  }
}

/** What a line about what is printed tells; undefined if no broker says that. */
export function printedLine(line: string): Printed | undefined {
  const { stream, text } = fieldsOf(line)
  const isStream = stream === 'stdout' || stream === 'stderr'
  return isStream && typeof text === 'string' ? { stream, text } : undefined
}

function exitOf({ code, signal, hungUp, lines }: ReturnType<typeof fieldsOf>): BrokerNews | undefined {
  if (!isNumberOrNull(code) || !isNumberOrNull(signal) || !isTexts(lines)) return undefined
  if (typeof hungUp !== 'boolean') return undefined
  return { event: 'exit', exit: { code, signal: signalName(signal), lines }, hungUp }
}

function isNumberOrNull(value: unknown): value is number | null {
  return value === null || typeof value === 'number'
}
