// SPDX-License-Identifier: Apache-2.0

/** The variants in the order of the tables. */
export const VARIANT_NAMES = [
  'polyloop-rust',
  'polyloop-python',
  'polyloop-rust-process',
  'polyloop-python-process',
  'polyloop-rust-shared',
  'uds-c',
  'uds-python',
  'post-message',
  'koffi',
  'node-calls-python',
  'uds-objects',
  'grpc-js',
] as const

/** Those that are measured as streams; Polyloop's, and the others, as calls. */
export const STREAM_NAMES = [
  'polyloop-rust',
  'polyloop-python',
  'polyloop-rust-process',
  'polyloop-python-process',
  'uds-objects',
  'grpc-js',
] as const

/** Those whose requests may lie in memory that the guest reads them in. On threads it reads the caller's own anyway. */
export const IN_PLACE_NAMES = ['polyloop-rust-process', 'polyloop-python-process'] as const

/** Those whose packages only the benchmark installs. */
export const INSTALLED_NAMES: readonly VariantName[] = ['koffi', 'node-calls-python', 'grpc-js']

/** Those that a quick run measures: few, so that each has time to get warm. */
export const QUICK_NAMES: readonly VariantName[] = [
  'polyloop-rust',
  'polyloop-python',
  'polyloop-rust-process',
  'uds-c',
  'uds-python',
  'uds-objects',
]

/** Those that are measured as calls, in the order of the tables. */
export const ECHO_NAMES: readonly EchoName[] = VARIANT_NAMES.filter(isEchoName)

export type StreamName = (typeof STREAM_NAMES)[number]
export type EchoName = Exclude<VariantName, 'uds-objects' | 'grpc-js'>
export type VariantName = (typeof VARIANT_NAMES)[number]

export const VARIANT_TITLES: Record<VariantName, string> = {
  'polyloop-rust': 'Rust guest, threads',
  'polyloop-python': 'Python guest, threads',
  'polyloop-rust-process': 'Rust guest, own process',
  'polyloop-python-process': 'Python guest, own process',
  'polyloop-rust-shared': 'Rust guest, process that hosts share',
  'uds-c': 'C server, unix socket',
  'uds-python': 'Python server, unix socket',
  'post-message': 'worker_threads postMessage',
  koffi: 'koffi, async call of C',
  'node-calls-python': 'node-calls-python',
  'uds-objects': 'object-mode streams, unix socket',
  'grpc-js': 'grpc-js, server streaming',
}

export function isStreamName(name: string): name is StreamName {
  return (STREAM_NAMES as readonly string[]).includes(name)
}

/** Whether it is measured as calls. */
export function isEchoName(name: string): name is EchoName {
  return isVariantName(name) && name !== 'uds-objects' && name !== 'grpc-js'
}

export function isVariantName(name: string): name is VariantName {
  return (VARIANT_NAMES as readonly string[]).includes(name)
}
