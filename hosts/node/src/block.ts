// SPDX-License-Identifier: Apache-2.0
import { PolyloopError } from './errors.ts'

/**
 * Where everything lies in a block: `crates/ring/src/layout.rs`, held to it by `spec/ring.json`.
 * Words of the header are counted in 32 bits; each stands on a line of 128 bytes.
 */
export const header = {
  sqTail: 32,
  sqHead: 64,
  sleep: 96,
  cqTail: 128,
  cqHead: 160,
  armed: 192,
  stop: 224,
  hostCpu: 256,
  guestCpu: 288,
  poller: 320,
  idle: 352,
  idleSeq: 384,
  /** Written by the host: how many calls are outstanding. */
  outstanding: 416,
  controlTail: 448,
  controlHead: 480,
  controlSleep: 512,
  beats: 544,
  wakeups: 576,
  duplicates: 608,
} as const

export const magic: number = 0x4252_4c50
export const version = 3
/** 32-bit words of an entry. */
export const entryWords = 8
export const requestBytes = 4096
export const responseBytes = 1024
/** Bytes of a slab that responses share. */
export const slabBytes = 1_048_576
/** Bytes that a response stream may be ahead of its reader, beside its items. */
export const windowBytes = 1_048_576
/** How often a slot was used is counted up to here, then from 0. */
export const generations = 0x1fff_ffff

/** Where a byte of pins for each carrier begins in the memory that `native.privateMemory` gives; word 0 is `outstanding`. */
export const ownPins = 64

/** Kinds, flags and statuses of entries: `crates/abi` and `crates/ring/src/entry.rs`. */
export const kind = {
  call: 1,
  response: 1,
  item: 2,
  end: 3,
  cancel: 4,
  credit: 5,
  release: 16,
  seal: 17,
  log: 18,
} as const
export const flag = { bytes: 1, spread: 2, empty: 4, held: 8, own: 16, input: 32, output: 64, timed: 128 } as const
export const status = { ok: 0, guestError: 1, hostError: 2 } as const
/** The method of `send` to a guest that declared none. */
export const rawMethod = 0xffff

/** Views of a block. Offsets of rings are in 32-bit words, those of payloads in bytes. */
export class Block {
  readonly words: Int32Array
  /** The words by which the guest's threads wait: its own, or those of a guest that serves other blocks, too. */
  porch: Int32Array
  readonly bytes: Buffer
  readonly slots: number
  readonly sqMask: number
  readonly cqMask: number
  readonly sq: number
  readonly cq: number
  readonly pins: number
  readonly requests: number
  readonly responses: number
  /** Places for requests and items: those of tasks, one of each task's stream, and further ones for any. */
  readonly carriers: number
  readonly control: number
  readonly controlMask: number
  /** Most items of response streams that may be under way. */
  readonly credits: number

  /** @throws protocol where the memory is not a block of this layout */
  constructor(memory: ArrayBuffer) {
    this.words = new Int32Array(memory)
    this.porch = this.words
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
      carriers = 0,
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
    this.carriers = carriers
    this.control = control / 4
    this.controlMask = controlEntries - 1
    this.credits = credits
  }
}
