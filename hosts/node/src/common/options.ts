// SPDX-License-Identifier: Apache-2.0

import { toSignal } from './abort.ts'
import { type Codec, type Encoding, toEncoding } from './codec.ts'
import { PolyloopError } from './errors.ts'
import type { RuntimeEvent } from './events.ts'
import {
  boolean,
  booleanOrName,
  callback,
  type Described,
  integer,
  integerOr,
  json,
  oneOf,
  path,
  readOptions,
} from './option-readers.ts'
import { noRestart, type RestartOptions, restartParts, toRestart } from './option-restart.ts'
import { mostPayload } from './payload.ts'
import { longestTimer } from './timers.ts'

/** Options of {@link load}. */
export interface LoadOptions {
  /** Reaches the guest's `init`: anything that JSON can carry. */
  readonly config?: unknown
  /**
   * Guest threads for sync functions. The guest chooses by default: Python 8, Rust 4. With 1 a Python module and its
   * `init` run on that one, too.
   */
  readonly threads?: number
  /** Calls in flight, 1 to 65,536; 1,024 by default. */
  readonly maxCalls?: number
  /** Bytes of requests in flight; 64 MiB by default. One larger request goes alone. */
  readonly maxBytes?: number
  /** Bytes of one request or one response; 1 GiB by default and at most. */
  readonly maxPayload?: number
  /** What a call beyond the bounds does: `wait` its turn (default), or `fail` with `overloaded`. */
  readonly whenFull?: 'wait' | 'fail'
  /** Milliseconds after which a call rejects with `deadline` that says nothing else; 0 by default: calls are not bounded. */
  readonly callTimeout?: number
  /** How values travel: JSON by default. Bytes always travel untouched. */
  readonly codec?: 'json' | Codec
  /** Whether the loop spins for some microseconds before it sleeps, while calls are outstanding and it pays. On by default. */
  readonly spin?: boolean
  /** Every n-th call is timed for the latency of `stats()`: 256 by default, 1 for all, 0 for none. */
  readonly sample?: number
  /** Whether calls are spans of OpenTelemetry, if the program has its API and a tracer provider. On by default. */
  readonly tracing?: boolean
  /** Python guests: the interpreter, a path or a name. Default: that of `venv`, or `python3`. */
  readonly python?: string | URL
  /** Python guests: a virtual environment's folder. */
  readonly venv?: string | URL
  /** Receives what the guest prints, in whole lines. Default: the process's own streams, labelled if another process wrote. */
  readonly log?: (text: string, stream: 'stdout' | 'stderr', from: { readonly pid?: number }) => void
  /**
   * Where the guest lives: in a process of its own (the default of Python, whose runtime is a guest of the host's process
   * otherwise, see docs/guide/threads.md), or on threads of this process (the default of Rust and C).
   */
  readonly placement?: 'thread' | 'process'
  /**
   * Whether one process serves all workers of this machine, those of node:cluster and worker threads, that load the same
   * guest with the same options: one in memory, not one each. A text: whoever of this user says the same one, whatever
   * program it is. A `reload()` of any of them is one for all. For `placement: 'process'`. Off by default.
   */
  readonly shared?: boolean | string
  /** Processes that serve the calls, each with a guest of its own, 1 to 256; 1 by default. */
  readonly instances?: number
  /** What is done when a guest's process dies. `false`: nothing. */
  readonly restart?: false | RestartOptions
  /** Milliseconds in which a guest in a process of its own must be able to run code; 0 by default: it is not watched. */
  readonly heartbeat?: number
  /** What is done with a guest that is not: `report` it to `onEvent` (default), or `kill` it, too. */
  readonly whenHung?: 'report' | 'kill'
  /** Bytes of memory that a guest's process may have for itself; no limit by default. What crosses does not count. */
  readonly maxMemory?: number
  /**
   * Whether bytes of more than 1 KB are copied out of the memory that a guest's process can still write to: for guests
   * that are not trusted, see docs/internals/trust.md. Off by default: they are views.
   */
  readonly copyBytes?: boolean
  /** Milliseconds after which `load` rejects with `deadline`, and ends what it has started; 0 by default: not bounded. */
  readonly timeout?: number
  /** Has `load` reject with `cancelled` when it aborts before the guest has started, and end what it has started. */
  readonly signal?: AbortSignal
  /** Milliseconds that a guest's process has to end, once its last call is answered; 10,000 by default. */
  readonly drainTimeout?: number
  /**
   * Whether the guest's code is loaded again whenever its file changes, as by `reload()`. If the guest is shared, the
   * first of those who have set this does it for all. If it cannot be watched (inotify is used up, its folder is gone) that is
   * a warning, `PolyloopReload`, and the guest goes on. Off by default.
   */
  readonly hotReload?: boolean
  /** Told what happens to the guest. */
  readonly onEvent?: (event: RuntimeEvent) => void
}

/** Settings that are of another type than what a caller gives, or that stay undefined if nothing is given. */
interface Converted {
  /** JSON, or empty for none. */
  readonly config: string
  readonly python: string | undefined
  readonly venv: string | undefined
  readonly log: LoadOptions['log'] | undefined
  readonly restart: Required<RestartOptions>
  readonly onEvent: LoadOptions['onEvent'] | undefined
  readonly signal: AbortSignal | undefined
}

/** Options with their defaults in place. */
export interface Settings extends Required<Omit<LoadOptions, keyof Converted>>, Converted {
  /** What the codec makes of values. */
  readonly encoding: Encoding
  /** Those that were given: the others have their defaults. */
  readonly given: readonly OptionName[]
}

/** How much of a runtime's calls may be under way. */
export type Bounds = Pick<Settings, 'maxCalls' | 'maxBytes' | 'maxPayload' | 'whenFull'>

type OptionName = keyof LoadOptions

/** All that is to be known of an option. */
interface Option<Name extends OptionName> extends Described<Settings[Name]> {
  /** The one placement that it is for, if it is not for both. */
  readonly only?: 'process'
  /** What it is on threads, if `only` makes that something else than the default. */
  readonly onThreads?: Settings[Name]
  /** Whether the guest is told: in both placements, or only in a process. Those who share a guest must agree on it. */
  readonly guestSees?: 'always' | 'process'
  /** Those who share a guest must agree on it, though the guest is not told. */
  readonly isOfShared?: true
  /** The value as JSON can carry it, if it is something else. */
  readonly plain?: (value: Settings[Name]) => unknown
  /** Another name and value by which the guest is told. */
  readonly told?: (value: Settings[Name]) => readonly [name: string, value: unknown]
  /** Whether two loads of one runtime differ in it, if that is not whether the values are others. */
  readonly differs?: (first: Settings, second: Settings) => boolean
  /** The options that it is made of. */
  readonly parts?: Readonly<Record<string, Described<number>>>
}

/**
 * Every option. To add one, add its entry here and its line to {@link LoadOptions}: what is checked, compared, told to
 * guests and written in the reference follows; `npm run format` writes the latter.
 */
export const optionTable: { readonly [Name in OptionName]: Option<Name> } = {
  config: {
    read: json,
    default: '',
    guestSees: 'always',
    // With another one it is another runtime.
    differs: () => false,
    shownDefault: '',
    doc: "any JSON value; reaches the guest's `init`",
  },
  threads: {
    read: integer(1, 1024),
    // The guest chooses.
    default: 0,
    guestSees: 'always',
    shownDefault: '8 (Python), 4 (Rust)',
    doc: 'guest threads for sync functions; with 1 a Python module and its `init` run on that one, too',
  },
  maxCalls: { ...integerOr(1024, 1, 65_536), doc: 'calls in flight, up to 65,536' },
  maxBytes: {
    ...integerOr(64 * 2 ** 20, 1, Number.MAX_SAFE_INTEGER),
    shownDefault: '64 MiB',
    doc: 'bytes of requests in flight; a single larger request goes alone',
  },
  maxPayload: {
    ...integerOr(mostPayload, 1, mostPayload),
    guestSees: 'process',
    shownDefault: '1 GiB',
    doc: 'bytes of one request or response',
  },
  whenFull: {
    read: oneOf('wait', 'fail'),
    default: 'wait',
    doc: "callers beyond the bounds wait in order, or with `'fail'` reject with `overloaded`",
  },
  callTimeout: {
    ...integerOr(0, 0, longestTimer),
    doc: 'milliseconds after which a call rejects with `deadline` that has no `timeout` or `deadline` of its own; 0: never',
  },
  codec: {
    read: (value) => {
      const codec = value as 'json' | Codec
      toEncoding(codec)
      return codec
    },
    default: 'json',
    guestSees: 'always',
    plain: (codec) => toEncoding(codec).name,
    differs: (first, second) => first.encoding.name !== second.encoding.name,
    doc: "how values travel: `'json'`, or a codec object, as `polyloop/msgpack` exports one",
  },
  spin: {
    read: boolean,
    default: true,
    doc: '`false`: the loop never looks for responses before it sleeps; less processor time, slower calls',
  },
  sample: {
    ...integerOr(256, 0, Number.MAX_SAFE_INTEGER),
    doc: 'every n-th call is timed for the latency in `stats()`; 1: all, 0: none',
  },
  tracing: {
    read: boolean,
    default: true,
    doc: 'spans for OpenTelemetry, if the program has its API and a provider; `false`: none for this runtime',
  },
  python: {
    read: path,
    default: undefined,
    shownDefault: 'that of `venv`, or `python3`',
    doc: 'the interpreter of a Python guest, a path or a name',
  },
  venv: { read: path, default: undefined, doc: 'the folder of the virtual environment of a Python guest' },
  log: {
    read: callback,
    default: undefined,
    shownDefault: "the process's streams",
    // The first one's is asked; a closure that was evaluated twice is two.
    differs: () => false,
    doc: "`(text, 'stdout' | 'stderr', { pid? }) => void`, called with whole lines that the guest prints",
  },
  placement: {
    read: oneOf('thread', 'process'),
    // `settle` is told which one a language has.
    default: 'thread',
    shownDefault: "`'process'` (Python), `'thread'` (Rust, C)",
    doc: "where the guest lives: `'process'`, in a process of its own; `'thread'`, on threads of this process",
  },
  shared: {
    read: booleanOrName,
    default: false,
    only: 'process',
    doc:
      '`true`: one process serves all workers of this program that load the same guest with the same options; ' +
      'a name: all programs of this user that say it',
  },
  instances: { ...integerOr(1, 1, 256), only: 'process', doc: 'n processes share the calls, the least loaded first' },
  restart: {
    read: toRestart,
    default: toRestart({}, 'restart'),
    only: 'process',
    onThreads: noRestart,
    // On threads it follows from the placement.
    differs: (first, second) =>
      first.placement === second.placement && JSON.stringify(first.restart) !== JSON.stringify(second.restart),
    parts: restartParts,
    shownDefault: 'as follows',
    doc: 'what is done after a death; `false`: nothing',
  },
  heartbeat: {
    ...integerOr(0, 0, longestTimer),
    only: 'process',
    guestSees: 'process',
    // Several beats within the time that the host waits for one.
    told: (heartbeat) => ['beat', heartbeat === 0 ? 0 : Math.max(1, Math.floor(heartbeat / 4))],
    doc:
      'milliseconds in which a guest must be able to run code (Python: the GIL and the asyncio loop), or `hung` is told; ' +
      '0: it is not watched',
  },
  whenHung: {
    read: oneOf('report', 'kill'),
    default: 'report',
    only: 'process',
    doc: "what is done with a guest that is hung: it is reported to `onEvent`, or with `'kill'` killed, too",
  },
  maxMemory: {
    ...integerOr(0, 0, Number.MAX_SAFE_INTEGER),
    only: 'process',
    guestSees: 'process',
    shownDefault: 'no limit',
    doc: "bytes of memory that a guest's process may have for itself; 0: no limit",
  },
  timeout: {
    ...integerOr(0, 0, longestTimer),
    // Each caller's own.
    differs: () => false,
    doc: 'milliseconds after which `load` rejects with `deadline`, and what it has started is ended; 0: not bounded',
  },
  signal: {
    read: toSignal,
    default: undefined,
    differs: () => false,
    doc: 'an `AbortSignal`: `load` rejects with `cancelled` when it aborts, and what it has started is ended',
  },
  drainTimeout: {
    ...integerOr(10_000, 0, longestTimer),
    only: 'process',
    isOfShared: true,
    doc: "milliseconds that a guest's process has to end, after its last call that somebody waits for",
  },
  copyBytes: {
    read: boolean,
    default: false,
    only: 'process',
    doc: "bytes of more than 1 KB are copies instead of views of memory that the guest's process can still write to",
  },
  hotReload: {
    read: boolean,
    default: false,
    doc:
      'reload when the code changes; on threads, too. Of those who share a guest one does it for all. Code that cannot be ' +
      'watched is a warning, `PolyloopReload`',
  },
  onEvent: {
    read: callback,
    default: undefined,
    // Each one's is told.
    differs: () => false,
    doc: 'told `starting`, `ready`, `crashed`, `restarted`, `gave-up`, `hung`, `reloaded`, `reload-failed`',
  },
}

const names = Object.keys(optionTable) as readonly OptionName[]

/** The entry of a name, as the one type that all entries have in common. */
function entry<Name extends OptionName>(name: Name): Option<Name> {
  return optionTable[name]
}

/**
 * Checks options and puts defaults in place.
 *
 * @param usual - where guests of the language live
 * @throws invalid-argument, naming the option and what it takes
 */
export function settle(options: LoadOptions, usual: Settings['placement'] = 'thread'): Settings {
  // As they are now.
  const wanted: LoadOptions = readOptions('load', optionTable, options, (all) =>
    Object.fromEntries(names.map((name) => [name, all[name]])),
  )
  const given = { ...wanted, placement: wanted.placement ?? usual }
  const placement = settleOne('placement', given, usual)
  if (placement === 'thread') refuseProcessOptions(given)
  const settled = Object.fromEntries(names.map((name) => [name, settleOne(name, given, placement)]))
  const settings = settled as unknown as Omit<Settings, 'encoding' | 'given'>
  const named = names.filter((name) => wanted[name] !== undefined)
  return { ...settings, encoding: toEncoding(settings.codec), given: named }
}

function settleOne<Name extends OptionName>(
  name: Name,
  given: LoadOptions,
  placement: Settings['placement'],
): Settings[Name] {
  const option = entry(name)
  const value = given[name]
  if (value !== undefined) return option.read(value, name)
  return placement === 'thread' && option.onThreads !== undefined ? option.onThreads : option.default
}

function refuseProcessOptions(given: LoadOptions): void {
  const name = names.find((option) => entry(option).only === 'process' && given[option] !== undefined)
  if (name === undefined) return
  const message = `${name} is an option of placement: 'process': threads of this process cannot be ended or limited`
  throw new PolyloopError('invalid-argument', message)
}

/** The options in which a later load of a runtime differs; what it does not say is as it is. */
export function differences(first: Settings, second: Settings): string[] {
  return second.given.filter((name) => entry(name).differs?.(first, second) ?? first[name] !== second[name])
}

/** What a guest's loader is told of the options: JSON can carry it. */
export function guestOptions(settings: Settings): Readonly<Record<string, unknown>> {
  const told = names.filter((name) => {
    const { guestSees } = entry(name)
    return guestSees === 'always' || (guestSees === 'process' && settings.placement === 'process')
  })
  return Object.fromEntries(told.map((name) => tell(name, settings)))
}

function tell<Name extends OptionName>(name: Name, settings: Settings): readonly [name: string, value: unknown] {
  return entry(name).told?.(settings[name]) ?? [name, plain(name, settings)]
}

/** The options that a guest can be shared by only if they are the same: JSON can carry them. */
export function sharedIdentity(settings: Settings): Readonly<Record<string, unknown>> {
  const common = names.filter((name) => entry(name).guestSees !== undefined || entry(name).isOfShared)
  return Object.fromEntries(common.map((name) => [name, plain(name, settings)]))
}

function plain<Name extends OptionName>(name: Name, settings: Settings): unknown {
  const { plain: convert } = entry(name)
  return convert === undefined ? settings[name] : convert(settings[name])
}
