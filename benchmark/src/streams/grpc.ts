// SPDX-License-Identifier: Apache-2.0
import type { Load, Tools } from '../variants/echo.ts'
import type { Fountain } from './fountain.ts'
import { type ClientCall, grpc, METHOD } from './grpc-package.ts'
import { startServer } from './server.ts'

/** A server-streaming call of grpc-js over a unix socket, client and server in Node. */
export async function openGrpc(tools: Tools, { bytes }: Load): Promise<Fountain> {
  const server = await startServer(tools, 'grpc-server', String(bytes), tools.root)
  const { Client, credentials } = grpc(tools.root)
  const options = { 'grpc.max_receive_message_length': -1 }
  const client = new Client(`unix:${server.path}`, credentials.createInsecure(), options)
  let call: ClientCall | undefined
  return {
    blocks() {
      const { path, requestSerialize, responseDeserialize } = METHOD
      call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, Buffer.alloc(0))
      return call
    },
    async close() {
      call?.on('error', () => {}).cancel()
      client.close()
      await server.close()
    },
  }
}
