// SPDX-License-Identifier: Apache-2.0
// How long the memory of responses lives. In processes of their own, which collect garbage when they are told to.
import { expect, test } from 'vitest'
import { said } from '../../test/support/child.ts'
import { rust } from '../../test/support/paths.ts'

const gc = { node: ['--expose-gc'] }
const head = `
  const guest = await load(${JSON.stringify(rust)})
  const collect = async () => { for (let i = 0; i < 3; i++) { await turns(3); gc() } await turns(3) }
  const rounds = async (count, size) => {
    for (let i = 0; i < count; i++) {
      await Promise.all(Array.from({ length: 10 }, () => guest.fill(size)))
      if (i % 5 === 4) await collect()
    }
  }
`
const mib = 2 ** 20

test('slabs that nobody holds a view of serve again: their number does not grow with the calls', async () => {
  const source = `${head}
    await rounds(10, 100_000)
    await collect()
    const before = guest.stats().slabBytes
    await rounds(40, 100_000)
    await collect()
    say([before, guest.stats().slabBytes])
    await guest.unload()
  `
  const [[before, after]] = (await said(source, gc)) as [[number, number]]
  expect(before).toBeGreaterThan(0)
  // What ten calls at a time need between two collections, and not what all of them took.
  expect(after).toBeLessThanOrEqual(before + 4 * mib)
  expect(after).toBeLessThan(400 * 100_000)
})

test('large responses give their slabs back, too', async () => {
  const source = `${head}
    await rounds(5, 2_000_000)
    await collect()
    const before = guest.stats().slabBytes
    await rounds(20, 2_000_000)
    await collect()
    say([before, guest.stats().slabBytes])
    await guest.unload()
  `
  const [[before, after]] = (await said(source, gc)) as [[number, number]]
  expect(after).toBeLessThanOrEqual(Math.max(before, 128 * mib) + 4 * mib)
})

test('a view keeps its bytes as long as it is held, whatever else comes, and after the unload', async () => {
  const source = `${head}
    const held = await Promise.all([2000, 100_000, 300_000].map((size) => guest.fill(size)))
    const copies = held.map((bytes) => Buffer.from(bytes))
    await rounds(20, 100_000)
    await rounds(20, 300_000)
    say(held.every((bytes, i) => bytes.equals(copies[i])))
    await guest.unload()
    await collect()
    say(held.every((bytes, i) => bytes.equals(copies[i])))
  `
  expect(await said(source, gc)).toEqual([true, true])
})

/** V8 13 (Node.js 24) lets 64 MB of young stores wait, twice as many as before: the whole heap is collected by then. */
const looksInTime = Number.parseInt(process.versions.v8, 10) < 13

test('slabs that come and go by the gigabyte do not make V8 collect its whole heap, up to V8 12', async () => {
  const source = `${head}
    const { PerformanceObserver, constants } = await import('node:perf_hooks')
    const kinds = []
    new PerformanceObserver((list) => kinds.push(...list.getEntries().map((entry) => entry.detail.kind)))
      .observe({ entryTypes: ['gc'] })
    const payload = Buffer.alloc(100_000)
    const some = async () => { for (let i = 0; i < 2_000; i++) await guest.echo(payload) }
    await Promise.all(Array.from({ length: 8 }, some))
    await new Promise((resolve) => setTimeout(resolve, 50))
    const count = (kind) => kinds.filter((one) => one === kind).length
    say([count(constants.NODE_PERFORMANCE_GC_MINOR), count(constants.NODE_PERFORMANCE_GC_MAJOR)])
    await guest.unload()
  `
  const [[minor, major]] = (await said(source)) as [[number, number]]
  // If V8 counts 1.6 GB of slabs at 64 MB each, it collects the whole heap 25 times.
  expect(minor + major).toBeGreaterThan(10)
  expect(major).toBeLessThan(looksInTime ? 8 : 40)
})
