// SPDX-License-Identifier: Apache-2.0
import type { Bounds } from './admission.ts'
import { type Codec, type Encoding, toEncoding } from './codec.ts'
import { PolyloopError } from './errors.ts'

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
  /** Python guests: the interpreter, a path or a name. Default: that of `venv`, or `python3`. */
  readonly python?: string
  /** Python guests: a virtual environment's folder. */
  readonly venv?: string
  /** Receives what the guest prints, in whole lines. Default: the process's own streams. */
  readonly log?: (text: string, stream: 'stdout' | 'stderr') => void
}

/** Options with their defaults in place. */
export interface Settings extends Bounds {
  readonly config: string
  readonly threads: number
  readonly encoding: Encoding
  readonly spin: boolean
  readonly sample: number
  readonly python: string | undefined
  readonly venv: string | undefined
  readonly log: LoadOptions['log']
  readonly codec: 'json' | Codec
}

const gib = 2 ** 30
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
  'python',
  'venv',
  'log',
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
  const { whenFull = 'wait', spin = true, codec = 'json', log } = options
  if (whenFull !== 'wait' && whenFull !== 'fail') refuse('whenFull', "'wait' or 'fail'")
  if (typeof spin !== 'boolean') refuse('spin', 'true or false')
  if (log !== undefined && typeof log !== 'function') refuse('log', 'a function')
  return {
    config: toJson(options.config),
    threads: options.threads === undefined ? 0 : integer('threads', options.threads, 1, 1024),
    maxCalls: integer('maxCalls', options.maxCalls ?? 1024, 1, 65_536),
    maxBytes: integer('maxBytes', options.maxBytes ?? 64 * 2 ** 20, 1, Number.MAX_SAFE_INTEGER),
    maxPayload: integer('maxPayload', options.maxPayload ?? gib, 1, gib),
    whenFull,
    spin,
    sample: integer('sample', options.sample ?? 256, 0, Number.MAX_SAFE_INTEGER),
    codec,
    encoding: toEncoding(codec),
    python: path('python', options.python),
    venv: path('venv', options.venv),
    log,
  }
}

/** The options in which two loads of one runtime differ. */
export function differences(first: Settings, second: Settings): string[] {
  const names = [
    'threads',
    'maxCalls',
    'maxBytes',
    'maxPayload',
    'whenFull',
    'codec',
    'spin',
    'sample',
    'python',
    'venv',
    'log',
  ] as const
  return names.filter((name) => first[name] !== second[name])
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
