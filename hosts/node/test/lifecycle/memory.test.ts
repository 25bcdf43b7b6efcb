// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { ask } from './child.ts'

const mib = 2 ** 20
const languages = ['rust', 'python']
const collected = { node: ['--expose-gc'] }

describe('memory of responses', () => {
  test('is used again: 20,000 responses of 100 KB, 2 GB in all, need a bounded amount', async () => {
    const { wrong, slabs, rss } = await ask<Record<'wrong' | 'slabs' | 'rss', number>>('memory', ['dropped'])
    console.log(`slabs: ${slabs / mib} MiB at most, resident: ${rss / mib} MiB more than after 2,000`)
    expect(wrong).toBe(0)
    expect(slabs).toBeLessThan(256 * mib)
    expect(rss).toBeLessThan(256 * mib)
  })

  test('keeps what it holds while somebody has it', async () => {
    expect(await ask<unknown>('memory', ['retained'], collected)).toEqual({ kept: 210, right: 210 })
  })

  test('keeps what it holds beyond the unload', async () => {
    expect(await ask<boolean>('memory', ['retained-beyond'], collected)).toBe(true)
  })
})

const homes = ['thread', 'process', 'shared']

describe.each(homes)('with a guest in a %s', (home) => {
  test('small answers that are kept hold few times their bytes, whatever comes and goes beside them', async () => {
    const { kept, slabs } = await ask<Record<'kept' | 'slabs', number>>('kept', ['small', home], collected)
    console.log(`${slabs / mib} MiB of slabs with ${kept / mib} MiB kept`)
    // And what is free, and kept for the next. Were they in slabs with the others, it would be 1200 MiB.
    expect(slabs).toBeLessThan(128 * mib + 4 * kept)
  })

  test('one answer of each size that is kept holds 64 times its bytes at most, or 128 KiB', async () => {
    const { bound, slabs } = await ask<Record<'bound' | 'slabs', number>>('kept', ['sparse', home], collected)
    console.log(`${slabs / mib} MiB of slabs; the bound is ${bound / mib} MiB`)
    expect(slabs).toBeLessThan(128 * mib + bound)
  })

  test('40 generations, of each of which a Buffer is kept, leave no address space in use but theirs', async () => {
    const grown = await ask<Record<'space' | 'files' | 'right', number>>('kept', ['generations', home], collected)
    console.log(JSON.stringify(grown))
    expect(grown).toMatchObject({ files: 0, right: 80 })
    // An instance sets up to 64 GiB aside, twice; a mapping that is kept has less than 64 MiB beside it on each side.
    expect(grown.space).toBeLessThan(80 * 256 * mib)
  })

  test('a limit of address space leaves room for less, and says so', async () => {
    const under = ['sh', '-c', 'ulimit -v 6000000; exec "$0" "$@"']
    const said = await ask<Record<string, [string, string]>>('kept', ['limited', home], { under })
    const [code, advice] = ['too-large', expect.stringContaining('ulimit -v')]
    expect(said).toEqual({
      worked: ['', ''],
      alloc: [code, advice],
      request: home === 'thread' ? ['', ''] : [code, advice],
    })
  })

  test('100 loads, with reloads and unloads in every order, leave no file and no address space', async () => {
    const left = await ask<Record<string, number>>('kept', ['orders', home], collected)
    console.log(JSON.stringify(left))
    expect(left).toMatchObject({ files: 0 })
    expect(left.space).toBeLessThan(8192 * mib)
  })
})

describe.each([
  ['rust', 100],
  ['python', 20],
] as const)('a %s guest', (language, rounds) => {
  test(`leaves no threads, files or memory behind when it is loaded and unloaded ${rounds} times`, async () => {
    const left = await ask<Record<string, number>>('memory', ['load-unload', language, String(rounds)], collected)
    console.log(JSON.stringify(left))
    expect(left).toMatchObject({ threads: 0, files: 0 })
    // A block is larger than 5 MiB.
    expect(left.mapped).toBeLessThan((rounds / 4) * 5 * mib)
    expect(left.rss).toBeLessThan(32 * mib)
  })

  test('ends its calls in flight and waiting before its unload, which ends its threads', async () => {
    const { order, refused, more } = await ask<{ order: string[]; refused: string; more: number }>('memory', [
      'unload',
      language,
    ])
    expect(order).toEqual([...Array.from({ length: 12 }, () => 'answered'), 'unloaded'])
    expect(refused).toBe('unloaded')
    expect(more).toBeGreaterThanOrEqual(3)
  })
})

describe('processor time', () => {
  test('is not used by runtimes that nobody calls', async () => {
    const { switches, ticks, threads } = await ask<Record<string, number>>('memory', ['idle'], collected)
    console.log(`${threads} threads, in 2 s: ${switches} switches, ${ticks} ticks of 10 ms`)
    // The program's own timer wakes it, and V8's threads may have something to do.
    expect(switches).toBeLessThan(20)
  })

  test.each(languages)('is not used while a slow %s call is in flight', async (language) => {
    const { switches, turns } = await ask<Record<string, number>>('memory', ['waiting', language])
    console.log(`in 1.5 s: ${switches} switches, ${turns} turns of the loop`)
    expect(turns).toBeLessThan(10)
    expect(switches).toBeLessThan(20)
  })
})
