// SPDX-License-Identifier: Apache-2.0

/** Bytes before each frame: its length, little-endian. */
export const HEADER_BYTES = 4

const BLOCK_BYTES = 1 << 20
const LOW_BYTES = 64 << 10

/**
 * Cuts a stream into the payloads of its frames, however the stream was split or merged on the way.
 *
 * The stream is read straight into large blocks, and payloads are views of their block: nothing is copied but the
 * beginning of a frame that the end of a block cuts off. Measured against one chunk a read (Node's default), it is as
 * fast for small frames and up to twice as fast for 100 KB.
 */
export class FrameReader {
  readonly #deliver: (payload: Buffer) => void
  readonly #blockBytes: number
  #block: Buffer
  #start = 0
  #end = 0

  constructor(deliver: (payload: Buffer) => void, blockBytes: number = BLOCK_BYTES) {
    this.#deliver = deliver
    this.#blockBytes = blockBytes
    this.#block = Buffer.allocUnsafeSlow(blockBytes)
  }

  /** Where the next bytes of the stream belong; never empty. */
  space(): Buffer {
    return this.#block.subarray(this.#end)
  }

  /** Says that the first `count` bytes of `space()` have been filled; delivers every frame that is now complete. */
  filled(count: number): void {
    this.#end += count
    const block = this.#block
    let needed = HEADER_BYTES
    while (this.#end - this.#start >= HEADER_BYTES) {
      const from = this.#start + HEADER_BYTES
      const to = from + block.readUInt32LE(this.#start)
      needed = to - this.#start
      if (to > this.#end) break
      this.#start = to
      this.#deliver(block.subarray(from, to))
    }
    this.#makeRoom(needed)
  }

  #makeRoom(needed: number): void {
    const low = Math.min(LOW_BYTES, this.#blockBytes >> 2)
    if (this.#block.length - this.#end >= low && this.#block.length - this.#start >= needed) return
    const rest = this.#block.subarray(this.#start, this.#end)
    this.#block = Buffer.allocUnsafeSlow(Math.max(this.#blockBytes, needed + low))
    this.#block.set(rest)
    this.#start = 0
    this.#end = rest.length
  }
}
