// SPDX-License-Identifier: Apache-2.0
import { requireRival } from '../rivals.ts'
import type { Echo, Load, Tools } from './echo.ts'

type Copy = (response: Buffer, request: Buffer, bytes: number, done: (error: unknown) => void) => void

interface Koffi {
  config(settings: { max_async_calls: number; resident_async_pools: number }): void
  load(path: string): { func(declaration: string): { async: Copy } }
}

/** A C function called through koffi on its threads: it copies the request to a new Buffer of the caller's. */
export async function openKoffi(tools: Tools, load: Load): Promise<Echo> {
  const koffi = requireRival(tools.root, 'koffi') as Koffi
  // Its defaults are 256 calls and 8 sets of memory that are kept; 32 is the most it allows of the latter.
  koffi.config({ max_async_calls: Math.max(256, load.outstanding), resident_async_pools: 32 })
  const copy = koffi.load(tools.copyLibrary).func('void copy(void *response, const void *request, size_t bytes)')
  return {
    call(payload) {
      return new Promise((resolve, reject) => {
        const response = Buffer.allocUnsafe(payload.length)
        copy.async(response, payload, payload.length, (error) => (error ? reject(error) : resolve(response)))
      })
    },
    async close() {},
  }
}
