// SPDX-License-Identifier: Apache-2.0
import { PolyloopError } from '../common/errors.ts'
import { magic, version } from '../common/layout.ts'

/** Views of a block. Offsets of rings are in 32-bit words, those of payloads in bytes. */
export class Block {
  readonly words: Int32Array
  /** The words that idle guest threads park on: the block's, or those of a guest that serves other blocks, too. */
  parking: Int32Array
  readonly bytes: Buffer
  readonly slots: number
  readonly sqMask: number
  readonly cqMask: number
  readonly sq: number
  readonly cq: number
  readonly pins: number
  readonly requests: number
  readonly responses: number
  /** Places for requests and items: those of tasks, one of each call's stream, and further ones for any. */
  readonly requestBuffers: number
  readonly control: number
  readonly controlMask: number
  /** Most items of response streams that may be under way. */
  readonly credits: number

  /** @throws protocol if the memory is not a block of this layout */
  constructor(memory: ArrayBuffer) {
    this.words = new Int32Array(memory)
    this.parking = this.words
    this.bytes = Buffer.from(memory)
    const [
      found,
      layout,
      slots = 0,
      sqEntries = 0,
      cqEntries = 0,
      sq = 0,
      cq = 0,
      pins = 0,
      requests = 0,
      responses = 0,
      _total,
      requestBuffers = 0,
      controlEntries = 0,
      control = 0,
      credits = 0,
    ] = this.words
    if (found !== magic || layout !== version) {
      throw new PolyloopError(
        'protocol',
        'the native add-on and the package are of different versions: build both again',
      )
    }
    this.slots = slots
    this.sqMask = sqEntries - 1
    this.cqMask = cqEntries - 1
    this.sq = sq / 4
    this.cq = cq / 4
    this.pins = pins
    this.requests = requests
    this.responses = responses
    this.requestBuffers = requestBuffers
    this.control = control / 4
    this.controlMask = controlEntries - 1
    this.credits = credits
  }

  /** The guest's threads park on other words than the block's. */
  parkOn(words: ArrayBuffer | undefined): void {
    if (words !== undefined) this.parking = new Int32Array(words)
  }
}
