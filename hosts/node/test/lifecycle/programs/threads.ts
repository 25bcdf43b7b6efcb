// SPDX-License-Identifier: Apache-2.0
// A Python guest on threads of its host, and what it must not do to that.
import { load, type PolyloopError } from 'polyloop'
import { play, tell } from './support.ts'

const [, , , ...files] = process.argv

/** A module with a function that reads beyond its memory. */
const wasm = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1],
  ...[7, 5, 1, 1, 102, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11],
)

/** What is needed of it, which no types of Node.js declare. */
declare const WebAssembly: {
  instantiate(code: Uint8Array): Promise<{ instance: { exports: { f(at: number): number } } }>
}

interface Functions {
  ask(): unknown
}

/** What each guest of the arguments answers, or why there is none. */
async function answers(): Promise<unknown[]> {
  const answered: unknown[] = []
  for (const file of files) {
    try {
      const guest = await load<Functions>(`python:${file}`, { placement: 'thread' })
      answered.push(await guest.ask())
    } catch (error) {
      answered.push((error as PolyloopError).message)
    }
  }
  return answered
}

await play({
  answers: async () => tell(await answers()),
  traps: async () => {
    const { instance } = await WebAssembly.instantiate(wasm)
    const trap = (): string => {
      try {
        return String(instance.exports.f(0x7fffffff))
      } catch (error) {
        return (error as Error).constructor.name
      }
    }
    const before = trap()
    await answers()
    tell([before, trap()])
  },
  warnings: async () => {
    const warnings: unknown[] = []
    process.on('warning', ({ name, message }) => warnings.push([name, message]))
    await answers()
    await new Promise(setImmediate)
    tell(warnings)
  },
})
