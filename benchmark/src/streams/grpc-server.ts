// SPDX-License-Identifier: Apache-2.0
// Blocks by a server-streaming method of gRPC. Arguments: the socket, the size of a block in bytes, the repository.
import { once } from 'node:events'
import { grpc, METHOD, type ServerCall } from './grpc-package.ts'

const [path = '', bytes = '0', root = ''] = process.argv.slice(2)
const { Server, ServerCredentials } = grpc(root)

async function blocks(call: ServerCall): Promise<void> {
  let open = true
  call.on('cancelled', () => {
    open = false
    call.emit('drain')
  })
  while (open) if (!call.write(Buffer.alloc(Number(bytes)))) await once(call, 'drain')
  call.end()
}

const server = new Server({ 'grpc.max_send_message_length': -1 })
server.addService({ blocks: METHOD }, { blocks: (call: ServerCall) => void blocks(call) })
server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error
  console.log('listening')
})
process.stdin.on('end', () => process.exit(0)).resume()
