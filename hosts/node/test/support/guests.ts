// SPDX-License-Identifier: Apache-2.0

import type { LoadOptions } from '../../src/common/options.ts'
import type { Runtime } from '../../src/runtime/handle.ts'
import { load } from '../../src/runtime/load.ts'
import { python, rust } from './paths.ts'

export type Loose<Names extends string> = Runtime<Record<Names, (...args: unknown[]) => unknown>>

/** The Rust fixture: conformance/fixtures/rust/src/lib.rs. */
export type RustGuest = Loose<
  | 'abort'
  | 'add'
  | 'boom'
  | 'boom_async'
  | 'checksum'
  | 'concat'
  | 'config'
  | 'echo'
  | 'echo_array'
  | 'echo_async'
  | 'echo_integers'
  | 'echo_map'
  | 'echo_record'
  | 'echo_shared'
  | 'echo_value'
  | 'fail'
  | 'fail_async'
  | 'fail_with_code'
  | 'fill'
  | 'greet'
  | 'handle'
  | 'inits'
  | 'invoice'
  | 'keep'
  | 'kept'
  | 'length'
  | 'log_lines'
  | 'nothing'
  | 'park'
  | 'scale'
  | 'sleep_ms'
  | 'sum_numbers'
  | 'threads_seen'
  | 'tomorrow'
  | 'unencodable'
  | 'unpark'
>

/** The Python fixture: conformance/fixtures/python/basic.py. */
export type PythonGuest = Loose<
  | 'add'
  | 'checksum'
  | 'config'
  | 'drop_kept'
  | 'echo'
  | 'echo_async'
  | 'exits'
  | 'fail'
  | 'fail_async'
  | 'fail_with_code'
  | 'fill'
  | 'greet'
  | 'handle'
  | 'keep'
  | 'kept'
  | 'kind'
  | 'nan'
  | 'nothing'
  | 'recurses'
  | 'returns_cycle'
  | 'returns_object'
  | 'returns_set'
  | 'returns_surrogate'
  | 'sleep_async'
  | 'sleep_ms'
  | 'stop_loop'
>

let number = 0

/** Where the guests of this run of the tests live: the suites run once for each placement. */
export const placement: 'thread' | 'process' = process.env.POLYLOOP_TEST_PLACEMENT === 'process' ? 'process' : 'thread'

/** A Rust runtime of its own: another config makes another runtime. */
export function loadRust(options: LoadOptions = {}): Promise<RustGuest> {
  return load(rust, { config: { test: ++number }, placement, ...options }) as Promise<unknown> as Promise<RustGuest>
}

/** A Python runtime of its own. */
export function loadPython(options: LoadOptions = {}): Promise<PythonGuest> {
  return load(python('basic'), {
    config: { test: ++number },
    placement,
    ...options,
  }) as Promise<unknown> as Promise<PythonGuest>
}

/** A call of a function that the type does not know. */
export function anyCall(runtime: object, name: string, ...args: unknown[]): Promise<unknown> {
  return (runtime as Record<string, (...args: unknown[]) => Promise<unknown>>)[name]?.(...args) as Promise<unknown>
}
