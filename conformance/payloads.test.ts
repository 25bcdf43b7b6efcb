// SPDX-License-Identifier: Apache-2.0
// Payloads beside each other, and requests that outlive their answer.
import { expect } from 'vitest'
import type { Subject } from './subject.ts'
import { pattern } from './support/bytes.ts'
import { type Claim, column } from './support/cells.ts'
import { same, until } from './support/expect.ts'

/** Random numbers that are the same each time. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return state % below
  }
}

const sideBySide: Claim[] = [
  {
    name: 'bytes of random sizes, 64 at a time, come back each with its own content',
    run: async ({ guest }) => {
      const random = randomNumbers(12_345)
      const one = async (seed: number): Promise<void> => {
        // As many small ones as large ones: each power of two is as likely as the next.
        const bytes = pattern(random(2 ** random(20)), seed)
        same(await guest.send(bytes), bytes)
      }
      for (let round = 0; round < 15; round++) {
        await Promise.all(Array.from({ length: 64 }, (_, index) => one(round * 64 + index)))
      }
    },
  },
  {
    name: 'thousands of calls at once have each its own answer',
    run: async ({ guest }) => {
      const answers = await Promise.all(Array.from({ length: 5000 }, (_, index) => guest.call('add', [index, 1])))
      expect(answers.every((answer, index) => answer === index + 1)).toBe(true)
    },
  },
  {
    name: 'responses stay as they are while thousands more come',
    run: async ({ guest }) => {
      const sizes = Array.from({ length: 200 }, (_, index) => index * 37)
      const first = await Promise.all(sizes.map((size, seed) => guest.call('echo', [pattern(size, seed)])))
      for (let round = 0; round < 20; round++)
        await Promise.all(sizes.map((size) => guest.call('length', [pattern(size)])))
      for (let round = 0; round < 5; round++) await Promise.all(sizes.map((size) => guest.call('fill', [size])))
      for (const [seed, bytes] of first.entries()) same(bytes, pattern(sizes[seed] as number, seed))
    },
  },
  {
    name: 'requests stay as they are, and belong to their caller again once they are answered',
    run: async ({ guest }) => {
      for (const size of [100, 4096, 4097, 300_000]) {
        const bytes = pattern(size, 5)
        same(await guest.call('echo', [bytes]), pattern(size, 5))
        same(bytes, pattern(size, 5))
        bytes.fill(7)
        same(await guest.call('echo', [bytes]), Buffer.alloc(size, 7))
      }
    },
  },
  {
    name: 'responses can be sent again, and slices of them',
    run: async ({ guest }) => {
      const large = (await guest.call('fill', [100_000])) as Buffer
      same(await guest.call('echo', [large]), large)
      const part = large.subarray(777, 50_000)
      same(await guest.call('echo', [part]), part)
    },
  },
]

/** Has the guest keep a request, and makes a thousand others meanwhile. */
async function keep(guest: Subject, size: number): Promise<void> {
  expect(await guest.call('keep', [pattern(size, 1)])).toBe(size)
  await until(() => guest.stats().inFlight === 0)
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 100 }, (_, index) => guest.call('length', [pattern(size, index)])))
  }
  expect(guest.stats().pinned).toBe(size > 4096 ? 1 : 0)
  same(await guest.call('kept'), pattern(size, 1))
  await until(() => guest.stats().pinned === 0)
  expect(await guest.call('kept')).toBeUndefined()
}

const held: Claim[] = [3, 4096, 4097, 300_000].map((size) => ({
  name: `a request of ${size} bytes that the guest keeps is not used again until it lets it go`,
  needs: ['holds'],
  run: ({ guest }) => keep(guest, size),
}))

column('payloads', [...sideBySide, ...held])
