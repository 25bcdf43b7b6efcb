// SPDX-License-Identifier: Apache-2.0
import { type LoadOptions, load as loadRuntime, type Stream } from 'polyloop'
import type { Load, Tools } from '../variants/echo.ts'
import { pythonStreams, rustFixture } from '../variants/fixtures.ts'
import { type Fountain, WITHOUT_END } from './fountain.ts'

interface Blocks {
  blocks(count: number, size: number): AsyncIterable<Uint8Array>
}

async function openRuntime(locator: string, { bytes }: Load, options: LoadOptions): Promise<Fountain> {
  const runtime = await loadRuntime<Blocks>(locator, options)
  return {
    blocks: (): Stream<Uint8Array> => runtime.blocks(WITHOUT_END, bytes),
    close: () => runtime.unload(),
  }
}

/** The Rust fixture's iterator, on threads. */
export function openPolyloopRust(tools: Tools, load: Load): Promise<Fountain> {
  return openRuntime(`rust:${rustFixture(tools.root)}`, load, { placement: 'thread' })
}

/** The Python fixture's generator, on threads. */
export function openPolyloopPython(tools: Tools, load: Load): Promise<Fountain> {
  return openRuntime(`python:${pythonStreams(tools.root)}`, load, { python: tools.python, placement: 'thread' })
}

/** The Rust fixture's iterator, in a process of its own. */
export function openRustProcess(tools: Tools, load: Load): Promise<Fountain> {
  return openRuntime(`rust:${rustFixture(tools.root)}`, load, { placement: 'process' })
}

/** The Python fixture's generator, in a process of its own. */
export function openPythonProcess(tools: Tools, load: Load): Promise<Fountain> {
  return openRuntime(`python:${pythonStreams(tools.root)}`, load, { python: tools.python, placement: 'process' })
}
