// SPDX-License-Identifier: Apache-2.0

/** The variants in the order of the tables. */
export const VARIANT_NAMES = [
  'polyloop-rust',
  'polyloop-python',
  'uds-c',
  'uds-python',
  'post-message',
  'koffi',
  'node-calls-python',
] as const

export type VariantName = (typeof VARIANT_NAMES)[number]

export const VARIANT_TITLES: Record<VariantName, string> = {
  'polyloop-rust': 'Polyloop, Rust guest',
  'polyloop-python': 'Polyloop, Python guest',
  'uds-c': 'C server, unix socket',
  'uds-python': 'Python server, unix socket',
  'post-message': 'worker_threads postMessage',
  koffi: 'koffi, async call of C',
  'node-calls-python': 'node-calls-python',
}

export function isVariantName(name: string): name is VariantName {
  return (VARIANT_NAMES as readonly string[]).includes(name)
}
