// SPDX-License-Identifier: Apache-2.0
import type { Open } from './echo.ts'
import type { EchoName } from './names.ts'

// Loaded when opened, so that a process holds one variant and nothing of the others.
const OPENERS: Record<EchoName, () => Promise<Open>> = {
  'polyloop-rust': async () => (await import('./polyloop.ts')).openPolyloopRust,
  'polyloop-python': async () => (await import('./polyloop.ts')).openPolyloopPython,
  'polyloop-rust-process': async () => (await import('./polyloop.ts')).openRustProcess,
  'polyloop-python-process': async () => (await import('./polyloop.ts')).openPythonProcess,
  'polyloop-rust-shared': async () => (await import('./polyloop.ts')).openRustShared,
  'uds-c': async () => (await import('./uds.ts')).openUdsC,
  'uds-python': async () => (await import('./uds.ts')).openUdsPython,
  'post-message': async () => (await import('./post-message.ts')).openPostMessage,
  koffi: async () => (await import('./koffi.ts')).openKoffi,
  'node-calls-python': async () => (await import('./node-calls-python.ts')).openNodeCallsPython,
}

export function opener(name: EchoName): Promise<Open> {
  return OPENERS[name]()
}
