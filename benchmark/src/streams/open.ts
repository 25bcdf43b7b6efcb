// SPDX-License-Identifier: Apache-2.0
import type { StreamName } from '../variants/names.ts'
import type { OpenFountain } from './fountain.ts'

// Loaded when opened, so that a process holds one variant and nothing of the others.
const OPENERS: Record<StreamName, () => Promise<OpenFountain>> = {
  'polyloop-rust': async () => (await import('./polyloop.ts')).openPolyloopRust,
  'polyloop-python': async () => (await import('./polyloop.ts')).openPolyloopPython,
  'polyloop-rust-process': async () => (await import('./polyloop.ts')).openRustProcess,
  'polyloop-python-process': async () => (await import('./polyloop.ts')).openPythonProcess,
  'uds-objects': async () => (await import('./objects.ts')).openObjects,
  'grpc-js': async () => (await import('./grpc.ts')).openGrpc,
}

export function fountainOpener(name: StreamName): Promise<OpenFountain> {
  return OPENERS[name]()
}
