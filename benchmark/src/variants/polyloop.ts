// SPDX-License-Identifier: Apache-2.0
import { load as loadRuntime } from 'polyloop'
import type { Echo, Load, Tools } from './echo.ts'
import { pythonFixture, rustFixture } from './fixtures.ts'

// The defaults of every option but the one that lets all calls of the benchmark be under way.
async function openRuntime(locator: string, load: Load, options: { python?: string }): Promise<Echo> {
  const runtime = await loadRuntime(locator, { ...options, maxCalls: Math.max(1024, load.outstanding) })
  return {
    call: (payload) => runtime.send(payload),
    close: () => runtime.unload(),
  }
}

/** The Rust fixture: bytes in, bytes out. */
export function openPolyloopRust(tools: Tools, load: Load): Promise<Echo> {
  return openRuntime(`rust:${rustFixture(tools.root)}`, load, {})
}

/** The Python fixture: bytes in, bytes out. */
export function openPolyloopPython(tools: Tools, load: Load): Promise<Echo> {
  return openRuntime(`python:${pythonFixture(tools.root)}`, load, { python: tools.python })
}
