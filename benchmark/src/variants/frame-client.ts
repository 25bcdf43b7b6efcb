// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Echo } from './echo.ts'
import { FrameReader, HEADER_BYTES } from './frames.ts'

// Where both were measured, payloads up to here are cheaper to copy into one buffer than to hand to writev one by one.
const GATHER_BELOW = 8 << 10
const GATHER_BYTES = 256 << 10

type Settle = { resolve(payload: Uint8Array): void; reject(error: Error): void }

/**
 * A client as good as Node allows: the frames of one tick go out in one system call, responses are read without a copy
 * and matched in order.
 */
export class FrameClient implements Echo {
  readonly #socket: Socket
  readonly #waiting: Settle[] = []
  #answered = 0
  #outgoing: Buffer[] = []
  #spare: Buffer[] = []

  private constructor(path: string) {
    const reader = new FrameReader((payload) => this.#settle(payload))
    const callback = (count: number): boolean => {
      reader.filled(count)
      return true
    }
    this.#socket = connect({ path, onread: { buffer: () => reader.space(), callback } })
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')))
  }

  static async connect(path: string): Promise<FrameClient> {
    const client = new FrameClient(path)
    await once(client.#socket, 'connect')
    return client
  }

  call(payload: Buffer): Promise<Uint8Array> {
    if (this.#outgoing.push(payload) === 1) process.nextTick(() => this.#flush())
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  async close(): Promise<void> {
    this.#socket.destroy()
    if (!this.#socket.closed) await once(this.#socket, 'close')
  }

  // A shift() a response is linear in the queue: an index and an occasional splice are not.
  #settle(payload: Buffer): void {
    const settle = this.#waiting[this.#answered++]
    if (settle === undefined) throw new Error('a response without a request')
    if (this.#answered === 1024) {
      this.#waiting.splice(0, this.#answered)
      this.#answered = 0
    }
    settle.resolve(payload)
  }

  #fail(error: Error): void {
    for (const settle of this.#waiting.splice(0).slice(this.#answered)) settle.reject(error)
    this.#answered = 0
  }

  #flush(): void {
    const payloads = this.#outgoing
    this.#outgoing = []
    this.#socket.cork()
    let gathered: Buffer[] = []
    let bytes = 0
    for (const payload of payloads) {
      const frameBytes = HEADER_BYTES + payload.length
      if (payload.length >= GATHER_BELOW || bytes + frameBytes > GATHER_BYTES) {
        this.#writeGathered(gathered)
        gathered = []
        bytes = 0
      }
      if (payload.length >= GATHER_BELOW) {
        this.#writeAlone(payload)
      } else {
        gathered.push(payload)
        bytes += frameBytes
      }
    }
    this.#writeGathered(gathered)
    this.#socket.uncork()
  }

  #writeAlone(payload: Buffer): void {
    const header = Buffer.allocUnsafe(HEADER_BYTES)
    header.writeUInt32LE(payload.length)
    this.#socket.write(header)
    this.#socket.write(payload)
  }

  #writeGathered(payloads: Buffer[]): void {
    if (payloads.length === 0) return
    const buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(GATHER_BYTES)
    let end = 0
    for (const payload of payloads) {
      buffer.writeUInt32LE(payload.length, end)
      buffer.set(payload, end + HEADER_BYTES)
      end += HEADER_BYTES + payload.length
    }
    this.#socket.write(buffer.subarray(0, end), () => this.#spare.push(buffer))
  }
}
