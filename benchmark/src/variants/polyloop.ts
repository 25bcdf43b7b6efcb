// SPDX-License-Identifier: Apache-2.0
import { type LoadOptions, load as loadRuntime } from 'polyloop'
import type { Echo, Load, Tools } from './echo.ts'
import { pythonFixture, rustFixture, spinner } from './fixtures.ts'

// The defaults of every option but the one that lets all calls of the benchmark be under way.
async function openRuntime(locator: string, load: Load, options: LoadOptions): Promise<Echo> {
  const runtime = await loadRuntime(locator, { ...options, maxCalls: Math.max(1024, load.outstanding) })
  return {
    call: (payload) => runtime.send(payload),
    alloc: (bytes) => runtime.alloc(bytes),
    close: () => runtime.unload(),
  }
}

/** The Rust fixture on threads: bytes in, bytes out. */
export function openPolyloopRust(tools: Tools, load: Load): Promise<Echo> {
  return openRuntime(`rust:${rustFixture(tools.root)}`, load, { placement: 'thread' })
}

/** The Python fixture on threads: bytes in, bytes out. */
export function openPolyloopPython(tools: Tools, load: Load): Promise<Echo> {
  return openRuntime(`python:${pythonFixture(tools.root)}`, load, { python: tools.python, placement: 'thread' })
}

/** The Rust fixture in a process of its own. */
export function openRustProcess(tools: Tools, load: Load): Promise<Echo> {
  return openRuntime(`rust:${rustFixture(tools.root)}`, load, { placement: 'process' })
}

/** The Rust fixture in a process that could serve other hosts, too. */
export function openRustShared(tools: Tools, load: Load): Promise<Echo> {
  return openRuntime(`rust:${rustFixture(tools.root)}`, load, { placement: 'process', shared: true })
}

/** The Python fixture in a process of its own. */
export function openPythonProcess(tools: Tools, load: Load): Promise<Echo> {
  return openRuntime(`python:${pythonFixture(tools.root)}`, load, { python: tools.python, placement: 'process' })
}

/** A processor-bound Python function with so many instances as calls are outstanding: calls of it, whatever is sent. */
export async function openInstances(tools: Tools, load: Load): Promise<Echo> {
  const options = { python: tools.python, placement: 'process', instances: load.outstanding } as const
  const runtime = await loadRuntime<Spinner>(`python:${spinner(tools.root)}`, options)
  return {
    call: async () => Buffer.from(String(await runtime.spin(TURNS))),
    close: () => runtime.unload(),
  }
}

interface Spinner {
  spin(turns: number): number
}

/** Some milliseconds of work. */
const TURNS = 50_000
