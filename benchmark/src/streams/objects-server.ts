// SPDX-License-Identifier: Apache-2.0
// Blocks from an object-mode stream over a unix socket. Arguments: the socket, the size of a block in bytes.
import { createServer } from 'node:net'
import { pipeline, Readable, Transform } from 'node:stream'
import { HEADER_BYTES } from '../variants/frames.ts'

const [path = '', bytes = '0'] = process.argv.slice(2)

function* blocks(): Generator<Buffer> {
  while (true) yield Buffer.alloc(Number(bytes))
}

/** One frame, so that one write, a block. */
function frames(): Transform {
  return new Transform({
    writableObjectMode: true,
    transform(block: Buffer, _, done): void {
      const frame = Buffer.allocUnsafe(HEADER_BYTES + block.length)
      frame.writeUInt32LE(block.length)
      frame.set(block, HEADER_BYTES)
      done(null, frame)
    },
  })
}

const server = createServer((socket) => pipeline(Readable.from(blocks()), frames(), socket, () => {}))
server.listen(path, () => console.log('listening'))
process.stdin.on('end', () => process.exit(0)).resume()
