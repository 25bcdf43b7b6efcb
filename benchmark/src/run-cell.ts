// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Cell, Sample } from './cell.ts'
import type { Tools } from './variants/echo.ts'

/** How long a process may take beyond what it is to measure, before it counts as hung. */
const PATIENCE_MS = 20_000

/**
 * Measures a cell in a fresh process, which is gone when this settles.
 * @throws Error with what the process said, if it failed, hung or was interrupted
 */
export async function runCell(
  cell: Cell,
  tools: Tools,
  signal: AbortSignal,
  patienceMs: number = PATIENCE_MS,
): Promise<Sample> {
  signal.throwIfAborted()
  const child = start(cell, tools)
  const limit = AbortSignal.timeout(cell.warmMs + cell.measureMs + patienceMs)
  const kill = (): void => void child.kill('SIGKILL')
  const stopped = AbortSignal.any([signal, limit])
  stopped.addEventListener('abort', kill)
  try {
    return await sampleOf(child)
  } catch (error) {
    signal.throwIfAborted()
    throw limit.aborted ? new Error('it hung and was killed', { cause: error }) : error
  } finally {
    stopped.removeEventListener('abort', kill)
  }
}

function start(cell: Cell, tools: Tools): ChildProcess {
  const script = fileURLToPath(new URL('./child.js', import.meta.url))
  const command = [process.execPath, script, JSON.stringify({ cell, tools })]
  if (cell.pin !== null) command.unshift('taskset', '-c', String(cell.pin))
  const [executable = '', ...args] = command
  return spawn(executable, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
}

async function sampleOf(child: ChildProcess): Promise<Sample> {
  let message: { sample?: Sample; error?: string } = {}
  let output = ''
  child.on('message', (received) => {
    message = received as typeof message
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4000)
  })
  const ended = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, by) => resolve(by ?? `code ${code}`))
  })
  // A process that measures well and then crashes has not done well.
  if (message.sample !== undefined && ended === 'code 0') return message.sample
  throw new Error(message.error ?? `it ended with ${ended}: ${output.trim()}`)
}
