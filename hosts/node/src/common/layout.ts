// SPDX-License-Identifier: Apache-2.0

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
export const version = 4
/** 32-bit words of an entry. */
export const entryWords = 8
export const inlineRequestBytes = 4096
export const inlineResponseBytes = 1024
/** Slabs that responses share: the largest response that may lie there, and the bytes of the slab. */
export const slabSizes = [
  [4096, 131_072],
  [8192, 262_144],
  [32_768, 524_288],
  [262_144, 1_048_576],
] as const
/** The largest of them. */
export const mostSlabBytes = 1_048_576
/** Bytes that a response stream may be ahead of its reader, beside its items. */
export const windowBytes = 1_048_576
/** How often a slot was used is counted up to here, then from 0. */
export const generations = 0x1fff_ffff

/** Where a byte of pins for each request buffer begins in the memory that `native.privateMemory` gives; word 0 is `outstanding`. */
export const privatePins = 64

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
