// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import type { Load, Tools } from '../variants/echo.ts'
import { FrameReader } from '../variants/frames.ts'
import type { Fountain } from './fountain.ts'
import { startServer } from './server.ts'

/** Cuts what a socket delivers into blocks, with the reader of the other socket variants. */
function cutter(): Transform {
  const reader = new FrameReader((block) => blocks.push(block))
  const blocks = new Transform({
    readableObjectMode: true,
    transform(chunk: Buffer, _, done): void {
      feed(reader, chunk)
      done()
    },
  })
  return blocks
}

function feed(reader: FrameReader, chunk: Buffer): void {
  for (let from = 0; from < chunk.length; ) {
    const space = reader.space()
    const count = Math.min(space.length, chunk.length - from)
    space.set(chunk.subarray(from, from + count))
    reader.filled(count)
    from += count
  }
}

/** A Node server's object-mode stream over a unix socket, as one would write it with node:stream. */
export async function openObjects(tools: Tools, { bytes }: Load): Promise<Fountain> {
  const server = await startServer(tools, 'objects-server', String(bytes))
  let socket: Socket | undefined
  return {
    blocks() {
      socket = connect(server.path)
      return socket.pipe(cutter())
    },
    async close() {
      if (socket !== undefined && !socket.destroy().closed) await once(socket, 'close')
      await server.close()
    },
  }
}
