// SPDX-License-Identifier: Apache-2.0
import { load as loadRuntime, type Stream } from 'polyloop'
import type { Load, Tools } from '../variants/echo.ts'
import { pythonStreams, rustFixture } from '../variants/fixtures.ts'
import { type Fountain, WITHOUT_END } from './fountain.ts'

interface Blocks {
  blocks(count: number, size: number): AsyncIterable<Uint8Array>
}

async function openRuntime(locator: string, { bytes }: Load, options: { python?: string }): Promise<Fountain> {
  const runtime = await loadRuntime<Blocks>(locator, options)
  return {
    blocks: (): Stream<Uint8Array> => runtime.blocks(WITHOUT_END, bytes),
    close: () => runtime.unload(),
  }
}

/** The Rust fixture's iterator. */
export function openPolyloopRust(tools: Tools, load: Load): Promise<Fountain> {
  return openRuntime(`rust:${rustFixture(tools.root)}`, load, {})
}

/** The Python fixture's generator. */
export function openPolyloopPython(tools: Tools, load: Load): Promise<Fountain> {
  return openRuntime(`python:${pythonStreams(tools.root)}`, load, { python: tools.python })
}
