// SPDX-License-Identifier: Apache-2.0
import { type Described, integer, readOptions, refuse } from './option-readers.ts'
import { longestTimer } from './timers.ts'

/** How a process that has died is started again. */
export interface RestartOptions {
  /** Restarts in a row; after the next death it is given up; 5 by default, and may be Infinity. */
  readonly attempts?: number
  /** Milliseconds before the second restart in a row, twice as many before each further one; 100 by default. The first is at once. */
  readonly minDelay?: number
  /** The longest such delay, 10,000 by default. */
  readonly maxDelay?: number
  /** A process that has lived n milliseconds has died for the first time; 60,000 by default. */
  readonly resetAfter?: number
  /**
   * Milliseconds in which a restart, or the start of a reload, must be over: then it is `hung`, and with `whenHung: 'kill'`
   * it is killed, which is a death. 0 by default: 60,000, or three times as long as the first start took.
   */
  readonly timeout?: number
}

/** Every part of the option `restart`. */
export const restartParts: { readonly [Name in keyof RestartOptions]-?: Described<number> } = {
  attempts: {
    read: (value, name) => (value === Number.POSITIVE_INFINITY ? value : integer(0, longestTimer)(value, name)),
    default: 5,
    doc: 'restarts in a row; after the next death it is given up; may be `Infinity`',
  },
  minDelay: {
    read: integer(0, longestTimer),
    default: 100,
    doc: 'milliseconds before the second restart in a row, twice as many before each further one; the first is at once',
  },
  maxDelay: {
    read: integer(0, longestTimer),
    default: 10_000,
    doc: 'the longest such delay',
  },
  resetAfter: {
    read: integer(0, longestTimer),
    default: 60_000,
    doc: 'a process that has lived n milliseconds has died for the first time',
  },
  timeout: {
    read: (value, name) => (value === Number.POSITIVE_INFINITY ? value : integer(0, longestTimer)(value, name)),
    default: 0,
    shownDefault: '60000, or three times as long as the first start took',
    doc:
      'milliseconds in which a restart, or the start of a reload, must be over, or it is `hung`; ' +
      "with `whenHung: 'kill'` it is killed then, which is a death; `Infinity`: it is not bounded",
  },
}

/** The process that has died is the last. */
export const noRestart: Required<RestartOptions> = { attempts: 0, minDelay: 0, maxDelay: 0, resetAfter: 0, timeout: 0 }

export function toRestart(value: unknown, name: string): Required<RestartOptions> {
  if (value === false) return noRestart
  if (typeof value !== 'object' || value === null) return refuse(name, 'false, or an object')
  const parts = Object.entries(restartParts)
  const settled = readOptions(name, restartParts, value as Readonly<Record<keyof RestartOptions, unknown>>, (given) =>
    parts.map(([part, option]) => {
      const one = given[part as keyof RestartOptions]
      return [part, one === undefined ? option.default : option.read(one, `${name}.${part}`)]
    }),
  )
  return Object.fromEntries(settled) as Required<RestartOptions>
}
