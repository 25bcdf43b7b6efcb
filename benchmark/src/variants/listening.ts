// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process'

/** Waits until a server says that it listens: the first that it prints. */
export async function listening(server: ChildProcess): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.stdout?.once('data', () => resolve())
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`the server ended before it listened (code ${code})`)))
  })
}
