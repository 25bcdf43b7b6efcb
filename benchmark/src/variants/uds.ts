// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Echo, Tools } from './echo.ts'
import { FrameClient } from './frame-client.ts'
import { listening } from './listening.ts'

/** Starts a server, `command` with the socket's path as its last argument, and connects to it. */
async function openServer(tools: Tools, command: readonly string[]): Promise<Echo> {
  const path = join(tools.scratch, `echo-${process.pid}.sock`)
  const [executable = '', ...others] = command
  const server = spawn(executable, [...others, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  await listening(server)
  const client = await FrameClient.connect(path)
  return {
    call: (payload) => client.call(payload),
    async close() {
      await client.close()
      // A server ends by itself when its only client is gone.
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
    },
  }
}

export function openUdsC(tools: Tools): Promise<Echo> {
  return openServer(tools, [tools.echoServer])
}

export function openUdsPython(tools: Tools): Promise<Echo> {
  return openServer(tools, [tools.python, join(tools.root, 'benchmark/servers/echo.py')])
}
