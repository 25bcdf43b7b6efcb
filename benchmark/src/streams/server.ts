// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Tools } from '../variants/echo.ts'
import { listening } from '../variants/listening.ts'

/** A server of the benchmark in a process of its own. */
export interface Server {
  /** Its unix socket. */
  readonly path: string
  /** Ends it. */
  close(): Promise<void>
}

/** Starts a program of this folder, which listens on the socket that is its first argument until its input ends. */
export async function startServer(tools: Tools, program: string, ...others: string[]): Promise<Server> {
  const path = join(tools.scratch, `${program}-${process.pid}.sock`)
  const script = fileURLToPath(new URL(`./${program}.js`, import.meta.url))
  // Its input ends when this process does, however that ends.
  const server = spawn(process.execPath, [script, path, ...others], { stdio: ['pipe', 'pipe', 'inherit'] })
  await listening(server)
  return {
    path,
    async close() {
      server.stdin?.end()
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
    },
  }
}
