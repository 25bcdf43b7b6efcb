// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { requireRival } from '../rivals.ts'
import type { Echo, Tools } from './echo.ts'

interface NodeCallsPython {
  interpreter: {
    import(path: string): Promise<object>
    call(module: object, name: string, payload: Buffer): Promise<ArrayBuffer>
  }
}

/** Python in this process, each call a job on libuv's threads. */
export async function openNodeCallsPython(tools: Tools): Promise<Echo> {
  const { interpreter } = requireRival(tools.root, 'node-calls-python') as NodeCallsPython
  const module = await interpreter.import(join(tools.root, 'benchmark/servers/echo_module.py'))
  return {
    call: (payload) => interpreter.call(module, 'echo', payload).then((bytes) => new Uint8Array(bytes)),
    async close() {},
  }
}
