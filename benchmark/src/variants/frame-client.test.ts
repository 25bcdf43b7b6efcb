// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { FrameClient } from './frame-client.ts'

const folder = mkdtempSync(join(tmpdir(), 'polyloop-frames-'))
afterAll(() => rmSync(folder, { recursive: true }))
let sockets = 0

// Comparing large buffers byte for byte takes vitest seconds.
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Connects a client to a server that does with its connection what the test says. */
async function withServer(serve: (socket: Socket) => void, use: (client: FrameClient) => Promise<void>): Promise<void> {
  const path = join(folder, `${sockets++}.sock`)
  const server = createServer(serve).listen(path)
  await once(server, 'listening')
  const client = await FrameClient.connect(path)
  try {
    await use(client)
  } finally {
    await client.close()
    server.close()
    await once(server, 'close')
  }
}

/** Sends back what it gets, in pieces of its own choice. */
function echoInPieces(pieceBytes: number): (socket: Socket) => void {
  return (socket) => {
    socket.setNoDelay(true)
    const pieces: Buffer[] = []
    let sending = false
    const send = async (): Promise<void> => {
      sending = true
      for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
        socket.write(piece)
        await turn()
      }
      sending = false
    }
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; at += pieceBytes) pieces.push(chunk.subarray(at, at + pieceBytes))
      if (!sending) void send()
    })
  }
}

describe('FrameClient', () => {
  it.each([3, 1000, 70_000])('matches responses that arrive in pieces of %i bytes', async (pieceBytes) => {
    await withServer(echoInPieces(pieceBytes), async (client) => {
      const sizes = pieceBytes === 3 ? [0, 1, 5, 40] : [1, 512, 0, 4096, 10_240, 300_000, 7, 8191, 8192]
      const payloads = sizes.map((bytes, index) => Buffer.alloc(bytes, index + 1))
      for (let round = 0; round < 3; round++) {
        const responses = await Promise.all(payloads.map((payload) => client.call(payload)))
        expect(responses.map(hash)).toEqual(payloads.map(hash))
      }
    })
  })

  it('keeps order over thousands of calls', async () => {
    await withServer(
      (socket) => void socket.pipe(socket),
      async (client) => {
        const payloads = Array.from({ length: 5000 }, (_, index) => Buffer.from(String(index)))
        expect(await Promise.all(payloads.map((payload) => client.call(payload)))).toEqual(payloads)
      },
    )
  })

  it('sends the calls of one tick together', async () => {
    const chunks: Buffer[] = []
    const serve = (socket: Socket): void => {
      socket.on('data', (chunk) => chunks.push(chunk)).pipe(socket)
    }
    await withServer(serve, async (client) => {
      await Promise.all(Array.from({ length: 64 }, () => client.call(Buffer.alloc(512))))
    })
    expect(chunks.map((chunk) => chunk.length)).toEqual([64 * 516])
  })

  it('rejects what is outstanding when the server goes away', async () => {
    await withServer(
      (socket) => void socket.once('data', () => socket.destroy()),
      async (client) => {
        const calls = await Promise.allSettled([client.call(Buffer.alloc(8)), client.call(Buffer.alloc(8))])
        expect(calls.map((call) => call.status)).toEqual(['rejected', 'rejected'])
      },
    )
  })
})
