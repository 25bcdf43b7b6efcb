// SPDX-License-Identifier: Apache-2.0
import { closeSync, copyFileSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs'

/** Where an ELF file of 64 bits says what of it is loaded, and how long a line of that is. */
const elf = { magic: 0x7f45_4c46, header: 64, class64: 2, little: 1, lineBytes: 56 } as const

/** So many copies in a program are a habit. */
const many = 10
let copies = 0

/**
 * Copies what a process loads of a library: the most part of one is often symbols and debug information. The copy
 * stays on the disk as long as the library is loaded, and what fills disks slows everybody down.
 */
export function copyLibrary(library: string, to: string): void {
  const code = readCode(library)
  if (code === undefined) copyFileSync(library, to)
  else writeFileSync(to, code, { mode: 0o700 })
  if (++copies === many) warn(library)
}

/** A library that was opened is never closed: threads may run in it. */
function warn(library: string): void {
  const message =
    `${many} reloads on threads have opened a library anew, the last one ${library}. None of them is ever closed: each ` +
    "keeps its memory until the program ends. Set placement to 'process' where code is reloaded often."
  process.emitWarning(message, 'PolyloopReload')
}

/** The bytes that are loaded; undefined if the file is not understood. */
function readCode(library: string): Buffer | undefined {
  const file = openSync(library, 'r')
  try {
    const head = read(file, 0, elf.header)
    if (head === undefined || head.readUInt32BE(0) !== elf.magic) return undefined
    if (head[4] !== elf.class64 || head[5] !== elf.little || head.readUInt16LE(54) !== elf.lineBytes) return undefined
    const lines = read(file, Number(head.readBigUInt64LE(32)), head.readUInt16LE(56) * elf.lineBytes)
    const code = lines && read(file, 0, endOf(lines))
    // It has no list of sections any more.
    code?.fill(0, 40, 48).fill(0, 60, 64)
    return code
  } finally {
    closeSync(file)
  }
}

/** Where the last segment ends in the file. */
function endOf(lines: Buffer): number {
  let end: number = elf.header
  for (let at = 0; at < lines.length; at += elf.lineBytes) {
    end = Math.max(end, Number(lines.readBigUInt64LE(at + 8) + lines.readBigUInt64LE(at + 32)))
  }
  return end
}

/** Bytes of a file; undefined if it has fewer. */
function read(file: number, from: number, length: number): Buffer | undefined {
  if (from + length > fstatSync(file).size) return undefined
  const bytes = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const count = readSync(file, bytes, filled, length - filled, from + filled)
    if (count === 0) return undefined
    filled += count
  }
  return bytes
}
