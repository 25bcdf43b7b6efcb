// SPDX-License-Identifier: Apache-2.0
// The languages that are held to the contract. Adding one is an entry here and a folder of fixtures.
import { builtC, fixture, fromCargo, venvWithMsgpack } from './support/artifacts.ts'

/** Where a guest may live: on threads of the host, in a process of its own, or in one that several hosts share. */
export const placements = ['thread', 'process', 'shared'] as const
export type Placement = (typeof placements)[number]

/** What a kit can and cannot do; a case or a claim that needs more is shown as one that its cells cannot. */
interface Abilities {
  /** Where its guests can live. */
  readonly placements: readonly Placement[]
  /** Codecs that it knows. */
  readonly codecs: readonly string[]
  /** Functions that wait without a thread: the fixture's `..._async`. */
  readonly async: boolean
  /** Streams in either direction. */
  readonly streams: boolean
  /** A function on a thread whose caller has gone: it `asks` whether that is so, or it is stopped (`stops`). */
  readonly cancelsSync: 'asks' | 'stops'
  /** Whether the host can find out that the language is unable to run code: the fixture's `stuck`. */
  readonly beats: boolean
  /** Whether its code can be loaded again while it runs. */
  readonly reloads: boolean
  /** Whether a request can be kept beyond its answer. */
  readonly holds: boolean
  /** Whether null is told from nothing, as an argument and as a result. */
  readonly nulls: boolean
  /** The code of a call whose arguments do not fit the function: what the word `misuse` stands for in a case. */
  readonly misuse: 'invalid-argument' | 'guest-error'
  /** Whether it is the kit that writes results, and so says which of them its codec cannot carry. */
  readonly encodes: boolean
  /** Whether there is a failure that no error handler of the language is meant for, and that ends the call alone. */
  readonly panics: boolean
  /** Whether running out of memory is an error that ends the call alone. */
  readonly memoryErrors: boolean
  /** Whether errors have the stack that the language prints. */
  readonly stacks: boolean
}

export interface Language {
  readonly name: string
  /** The fixture's locator, after it was built where cargo does not do that. */
  readonly locate: () => string
  /** Options that its guests need to be loaded with. */
  readonly options?: () => { readonly venv?: string }
  readonly can: Abilities
}

export const languages: readonly Language[] = [
  {
    name: 'rust',
    locate: () => `rust:${fromCargo('libpolyloop_fixture.so')}`,
    can: {
      placements,
      codecs: ['json', 'msgpack'],
      async: true,
      streams: true,
      cancelsSync: 'asks',
      beats: false,
      reloads: true,
      holds: true,
      nulls: true,
      misuse: 'invalid-argument',
      encodes: true,
      panics: true,
      memoryErrors: true,
      stacks: false,
    },
  },
  {
    name: 'python',
    locate: () => `python:${fixture('python/guest.py')}`,
    // A process holds one interpreter, so guests without MessagePack have it, too.
    options: () => ({ venv: venvWithMsgpack() }),
    can: {
      placements,
      codecs: ['json', 'msgpack'],
      async: true,
      streams: true,
      cancelsSync: 'asks',
      beats: true,
      reloads: true,
      holds: true,
      nulls: false,
      misuse: 'guest-error',
      encodes: true,
      panics: true,
      memoryErrors: true,
      stacks: true,
    },
  },
  {
    name: 'c',
    locate: builtC,
    can: {
      placements,
      codecs: ['json'],
      async: false,
      streams: true,
      cancelsSync: 'asks',
      beats: false,
      reloads: true,
      holds: true,
      nulls: true,
      misuse: 'invalid-argument',
      encodes: false,
      panics: false,
      memoryErrors: true,
      stacks: false,
    },
  },
]

/** Whether a language has an ability: `async`, or one with a value, as `codecs:msgpack` or `cancelsSync:stops`. */
export function has({ can }: Pick<Language, 'can'>, need: string): boolean {
  const [name = '', value] = need.split(':')
  const ability: unknown = can[name as keyof Abilities]
  if (Array.isArray(ability)) return value !== undefined && ability.includes(value)
  return value === undefined ? ability === true : ability === value
}

/** Whether there is such an ability, and so a point in needing it. */
export function isAbility(need: string): boolean {
  const [name = '', value] = need.split(':')
  return languages.every(({ can }) => {
    const ability: unknown = can[name as keyof Abilities]
    return (typeof ability === 'boolean') === (value === undefined) && ability !== undefined
  })
}
