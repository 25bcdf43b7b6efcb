// SPDX-License-Identifier: Apache-2.0
import type { Bounds } from './admission.ts'
import { type Codec, type Encoding, toEncoding } from './codec.ts'
import { PolyloopError } from './errors.ts'
import type { RuntimeEvent } from './events.ts'
import { longestTimer } from './timers.ts'

/** Options of {@link load}. */
export interface LoadOptions {
  /** Reaches the guest's `init`: anything that JSON can carry. */
  readonly config?: unknown
  /** Guest threads for sync functions. The guest chooses by default: Python 8, Rust 4. */
  readonly threads?: number
  /** Calls in flight, 1 to 65,536; 1,024 by default. */
  readonly maxCalls?: number
  /** Bytes of requests in flight; 64 MiB by default. One larger request goes alone. */
  readonly maxBytes?: number
  /** Bytes of one request or one response; 1 GiB by default and at most. */
  readonly maxPayload?: number
  /** What a call beyond the bounds does: `wait` its turn (default), or `fail` with `overloaded`. */
  readonly whenFull?: 'wait' | 'fail'
  /** How values travel: JSON by default. Bytes always travel untouched. */
  readonly codec?: 'json' | Codec
  /** Whether the loop spins for some microseconds before it sleeps, while calls are outstanding and it pays. On by default. */
  readonly spin?: boolean
  /** Every so many-th call is timed for the latency of `stats()`: 256 by default, 1 for all, 0 for none. */
  readonly sample?: number
  /** Whether calls are spans of OpenTelemetry, where the program has its API and a tracer provider. On by default. */
  readonly tracing?: boolean
  /** Python guests: the interpreter, a path or a name. Default: that of `venv`, or `python3`. */
  readonly python?: string
  /** Python guests: a virtual environment's folder. */
  readonly venv?: string
  /** Receives what the guest prints, in whole lines. Default: the process's own streams, labelled where another process wrote. */
  readonly log?: (text: string, stream: 'stdout' | 'stderr', from: { readonly pid?: number }) => void
  /** Where the guest lives: on threads of this process (default), or in a process of its own, see docs/internals/trust.md. */
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
  /** Milliseconds that a guest's process has to end, once its last call is answered; 10,000 by default. */
  readonly drainTimeout?: number
  /**
   * Whether the guest's code is loaded anew whenever its file changes, as by `reload()`. Where it is shared, the first of
   * those who have set this does it for all. Off by default.
   */
  readonly hotReload?: boolean
  /** Told what happens to the guest. */
  readonly onEvent?: (event: RuntimeEvent) => void
}

/** How a process that has died is started anew. */
export interface RestartOptions {
  /** Deaths in a row after which it is given up; 5 by default, and may be Infinity. */
  readonly attempts?: number
  /** Milliseconds before the second restart in a row, twice as many before each further one; 100 by default. The first is at once. */
  readonly minDelay?: number
  /** The longest such delay, 10,000 by default. */
  readonly maxDelay?: number
  /** A process that has lived so many milliseconds has died for the first time; 60,000 by default. */
  readonly resetAfter?: number
}

/** Options with their defaults in place. */
export interface Settings extends Bounds {
  readonly config: string
  readonly threads: number
  readonly encoding: Encoding
  readonly spin: boolean
  readonly sample: number
  readonly tracing: boolean
  readonly python: string | undefined
  readonly venv: string | undefined
  readonly log: LoadOptions['log']
  readonly codec: 'json' | Codec
  readonly placement: 'thread' | 'process'
  readonly shared: boolean | string
  readonly instances: number
  readonly restart: Required<RestartOptions>
  readonly heartbeat: number
  readonly whenHung: 'report' | 'kill'
  /** 0 for no limit. */
  readonly maxMemory: number
  readonly drainTimeout: number
  readonly copyBytes: boolean
  readonly hotReload: boolean
  readonly onEvent: LoadOptions['onEvent']
}

const gib = 2 ** 30

/** Options that mean something only for a guest in a process of its own. */
const ofProcesses = [
  'shared',
  'instances',
  'restart',
  'heartbeat',
  'whenHung',
  'maxMemory',
  'drainTimeout',
  'copyBytes',
] as const

const known = new Set<string>([
  'config',
  'threads',
  'maxCalls',
  'maxBytes',
  'maxPayload',
  'whenFull',
  'codec',
  'spin',
  'sample',
  'tracing',
  'python',
  'venv',
  'log',
  'placement',
  ...ofProcesses,
  'hotReload',
  'onEvent',
] satisfies (keyof LoadOptions)[])

/**
 * Checks options and puts defaults in place.
 *
 * @throws invalid-argument, naming the option and what it takes
 */
export function settle(options: LoadOptions): Settings {
  if (typeof options !== 'object' || options === null) refuse('options', 'an object')
  for (const name of Object.keys(options)) {
    if (!known.has(name)) refuse(name, `an option: there are ${[...known].join(', ')}`)
  }
  const { whenFull = 'wait', spin = true, tracing = true, codec = 'json', log, onEvent } = options
  const { placement = 'thread', whenHung = 'report', hotReload = false, copyBytes = false, shared = false } = options
  if (whenFull !== 'wait' && whenFull !== 'fail') refuse('whenFull', "'wait' or 'fail'")
  if (typeof spin !== 'boolean') refuse('spin', 'true or false')
  if (typeof tracing !== 'boolean') refuse('tracing', 'true or false')
  if (log !== undefined && typeof log !== 'function') refuse('log', 'a function')
  if (onEvent !== undefined && typeof onEvent !== 'function') refuse('onEvent', 'a function')
  if (placement !== 'thread' && placement !== 'process') refuse('placement', "'thread' or 'process'")
  if (typeof copyBytes !== 'boolean') refuse('copyBytes', 'true or false')
  if (typeof hotReload !== 'boolean') refuse('hotReload', 'true or false')
  if (whenHung !== 'report' && whenHung !== 'kill') refuse('whenHung', "'report' or 'kill'")
  if (typeof shared !== 'boolean' && (typeof shared !== 'string' || shared === '')) {
    refuse('shared', 'true, false or a name')
  }
  if (placement === 'thread') refuseProcessOptions(options)
  return {
    config: toJson(options.config),
    threads: options.threads === undefined ? 0 : integer('threads', options.threads, 1, 1024),
    maxCalls: integer('maxCalls', options.maxCalls ?? 1024, 1, 65_536),
    maxBytes: integer('maxBytes', options.maxBytes ?? 64 * 2 ** 20, 1, Number.MAX_SAFE_INTEGER),
    maxPayload: integer('maxPayload', options.maxPayload ?? gib, 1, gib),
    whenFull,
    spin,
    sample: integer('sample', options.sample ?? 256, 0, Number.MAX_SAFE_INTEGER),
    tracing,
    codec,
    encoding: toEncoding(codec),
    python: path('python', options.python),
    venv: path('venv', options.venv),
    log,
    placement,
    shared,
    instances: integer('instances', options.instances ?? 1, 1, 256),
    restart: toRestart(placement === 'thread' ? false : options.restart),
    heartbeat: integer('heartbeat', options.heartbeat ?? 0, 0, longestTimer),
    whenHung,
    maxMemory: integer('maxMemory', options.maxMemory ?? 0, 0, Number.MAX_SAFE_INTEGER),
    drainTimeout: integer('drainTimeout', options.drainTimeout ?? 10_000, 0, longestTimer),
    copyBytes,
    hotReload,
    onEvent,
  }
}

function refuseProcessOptions(options: LoadOptions): void {
  const name = ofProcesses.find((option) => options[option] !== undefined)
  if (name === undefined) return
  const message = `${name} is an option of placement: 'process': threads of this process cannot be ended or limited`
  throw new PolyloopError('invalid-argument', message)
}

function toRestart(options: false | RestartOptions = {}): Required<RestartOptions> {
  if (options === false) return { attempts: 0, minDelay: 0, maxDelay: 0, resetAfter: 0 }
  if (typeof options !== 'object' || options === null) refuse('restart', 'false, or an object')
  const { attempts = 5, minDelay = 100, maxDelay = 10_000, resetAfter = 60_000 } = options
  return {
    attempts: attempts === Number.POSITIVE_INFINITY ? attempts : integer('restart.attempts', attempts, 0, longestTimer),
    minDelay: integer('restart.minDelay', minDelay, 0, longestTimer),
    maxDelay: integer('restart.maxDelay', maxDelay, 0, longestTimer),
    resetAfter: integer('restart.resetAfter', resetAfter, 0, longestTimer),
  }
}

/** The options in which two loads of one runtime differ. */
export function differences(first: Settings, second: Settings): string[] {
  return [...known].filter((name) => {
    const [one, other] = [first[name as keyof Settings], second[name as keyof Settings]]
    // Threads are not started anew: there it follows from the placement.
    if (name === 'config' || (name === 'restart' && first.placement !== second.placement)) return false
    return name === 'restart' ? JSON.stringify(one) !== JSON.stringify(other) : one !== other
  })
}

function toJson(config: unknown): string {
  if (config === undefined) return ''
  try {
    const text = JSON.stringify(config)
    if (text !== undefined) return text
  } catch (cause) {
    throw new PolyloopError('invalid-argument', `config cannot be written as JSON: ${(cause as Error).message}`, {
      cause,
    })
  }
  return refuse('config', 'something that JSON can carry')
}

function integer(name: string, value: unknown, least: number, most: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
  return refuse(name, `an integer from ${least} to ${most}`)
}

function path(name: string, value: unknown): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '' && !value.includes('\0'))) return value
  return refuse(name, 'a path')
}

function refuse(name: string, wanted: string): never {
  throw new PolyloopError('invalid-argument', `${name} is not ${wanted}`)
}
