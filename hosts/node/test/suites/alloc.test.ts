// SPDX-License-Identifier: Apache-2.0
// Requests in memory that the guest reads: alloc().
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digest, fnv, pattern } from '../support/bytes.ts'
import { rejection, until } from '../support/calls.ts'
import { said } from '../support/child.ts'
import { loadPython, loadRust, type PythonGuest, placement, type RustGuest } from '../support/guests.ts'
import { inRoot, rust as rustLocator } from '../support/paths.ts'

const mib = 2 ** 20

let rust: RustGuest
let python: PythonGuest
beforeAll(async () => {
  rust = await loadRust()
  python = await loadPython()
})
afterAll(() => Promise.all([rust.unload(), python.unload()]))

/** Memory of a runtime's with a pattern in it. */
function written(runtime: RustGuest | PythonGuest, size: number, seed: number): Buffer {
  const bytes = runtime.alloc(size)
  expect(bytes).toBeInstanceOf(Buffer)
  expect(bytes.length).toBe(size)
  pattern(size, seed).copy(bytes)
  return bytes
}

describe('bytes in memory of alloc() arrive as they were written', () => {
  for (const size of [0, 1, 4096, 4097, 8192, 10_000, 256 * 1024, 256 * 1024 + 1, mib, mib + 1, 5 * mib]) {
    test(`${size} bytes, again and again, and parts of them`, async () => {
      for (const guest of [rust, python]) {
        const bytes = written(guest, size, 1)
        for (let seed = 2; seed < 5; seed++) {
          expect(digest(await guest.send(bytes))).toBe(digest(bytes))
          pattern(size, seed).copy(bytes)
        }
        const part = bytes.subarray(size >> 2, size - (size >> 3))
        expect(digest(await guest.send(part))).toBe(digest(part))
        expect(digest(bytes)).toBe(digest(pattern(size, 4)))
      }
    })
  }

  test('many at once lie apart', async () => {
    const sizes = Array.from({ length: 300 }, (_, index) => 1 + ((index * 7919) % 60_000))
    const requests = sizes.map((size, seed) => written(rust, size, seed))
    expect(await Promise.all(requests.map((bytes) => rust.checksum(bytes)))).toEqual(
      sizes.map((size, seed) => fnv(pattern(size, seed))),
    )
  })

  test('so do the items of a request stream', async () => {
    async function* items(): AsyncGenerator<Buffer> {
      for (let seed = 0; seed < 50; seed++) yield written(rust, 20_000 + seed, seed)
    }
    const swallowed = await rust.call('swallow' as 'length', [items()])
    expect(swallowed).toBe(50 * 20_000 + (49 * 50) / 2)
    expect(rust.stats().pinned).toBe(0)
  })
})

test('a guest reads them where they are: nothing is copied', async () => {
  for (const size of [4097, 100_000, 2 * mib]) {
    const bytes = written(rust, size, 1)
    // It keeps the request beyond its answer, so that what is written now is what it reads then.
    expect(await rust.keep(bytes)).toBe(size)
    expect(rust.stats().pinned).toBe(1)
    pattern(size, 2).copy(bytes)
    expect(digest((await rust.kept()) as Buffer)).toBe(digest(pattern(size, 2)))
    await until(() => rust.stats().pinned === 0)
  }
})

test('that of another runtime is sent as any bytes', async () => {
  const bytes = written(rust, 50_000, 3)
  expect(digest(await python.send(bytes))).toBe(digest(bytes))
})

describe('every instance of a runtime reads them where they are', () => {
  const size = 300_000

  /** Has an instance keep bytes beyond its answer, and writes them again: it reads what was written then. */
  async function rewrite(guest: RustGuest, bytes: Buffer, seed: number): Promise<string> {
    pattern(size, seed).copy(bytes)
    expect(await guest.keep(bytes)).toBe(size)
    pattern(size, seed + 1).copy(bytes)
    return digest(pattern(size, seed + 1))
  }
  const kept = async (guest: RustGuest): Promise<string> => digest((await guest.kept()) as Buffer)

  test('one that was started since: after a reload, and after a death', async () => {
    const guest = await loadRust({ placement: 'process' })
    const bytes = written(guest, size, 1)
    await guest.reload()
    const first = await rewrite(guest, bytes, 1)
    expect(await kept(guest)).toBe(first)
    await rejection(guest.abort(), 'guest-crashed')
    const second = await rewrite(guest, bytes, 3)
    expect(await kept(guest)).toBe(second)
    expect(guest.stats().restarts).toBe(1)
    await guest.unload()
  })

  test('each of several', async () => {
    const guest = await loadRust({ placement: 'process', instances: 2 })
    const [one, other] = [written(guest, size, 1), written(guest, size, 1)]
    // They take turns.
    const wanted = [await rewrite(guest, one, 5), await rewrite(guest, other, 7)]
    expect([await kept(guest), await kept(guest)]).toEqual(wanted)
    await guest.unload()
  })

  test("and none does after the unload: they are their holder's, and new ones plain memory", async () => {
    const guest = await loadRust()
    const bytes = written(guest, size, 1)
    await guest.unload()
    expect(digest(bytes)).toBe(digest(pattern(size, 1)))
    expect(written(guest, 10_000, 2).buffer.byteLength).toBeLessThan(size)
  })
})

test('what cannot be had is refused with advice', async () => {
  const guest = await loadRust({ maxPayload: 10_000 })
  const refusal = (bytes: unknown): Promise<unknown> => Promise.resolve().then(() => guest.alloc(bytes as number))
  for (const bytes of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5', undefined]) {
    await rejection(refusal(bytes), 'invalid-argument', 'alloc(1_000_000)')
  }
  await rejection(refusal(10_001), 'too-large', 'maxPayload is 10000: raise maxPayload')
  expect(guest.alloc(10_000).length).toBe(10_000)
  await guest.unload()
})

const index = pathToFileURL(inRoot('hosts/node/dist/index.js')).href

// In programs of their own, which collect garbage when they are told to.
const gc = { node: ['--expose-gc'] }
const head = `
  const { readFileSync } = await import('node:fs')
  const guest = await load(${JSON.stringify(rustLocator)}, { placement: '${placement}' })
  const collect = async () => { for (let i = 0; i < 4; i++) { await turns(3); gc() } await turns(3) }
  const resident = () => Number(/^RssShmem:\\s+(\\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
`

test('memory that nobody holds serves again: what was written does not add up', async () => {
  const source = `${head}
    let wrong = 0
    const round = async (size, seed) => {
      const calls = Array.from({ length: 20 }, () => guest.send(guest.alloc(size).fill(seed)))
      for (const answer of await Promise.all(calls)) if (answer[0] !== seed || answer[size - 1] !== seed) wrong++
    }
    for (let i = 0; i < 200; i++) {
      await round(i % 2 === 0 ? 100_000 : 1_500_000, i)
      if (i % 5 === 4) await collect()
    }
    await collect()
    say([wrong, resident() < 400 * ${mib}, guest.stats().pinned])
    await guest.unload()
  `
  // 3.2 GB were written.
  expect(await said(source, gc)).toEqual([[0, true, 0]])
})

test('what the guest may still read is kept, whether its caller holds it or not', async () => {
  const source = `${head}
    await guest.keep(guest.alloc(500_000).fill(7))
    for (let i = 0; i < 10; i++) {
      await collect()
      await Promise.all(Array.from({ length: 20 }, () => guest.length(guest.alloc(500_000).fill(1))))
    }
    const kept = await guest.kept()
    say([kept.length, kept.every((byte) => byte === 7)])
    await guest.unload()
  `
  expect(await said(source, gc)).toEqual([[500_000, true]])
})

test('what a guest died with serves again', async () => {
  const source = `${head}
    const mortal = await load(${JSON.stringify(rustLocator)}, { placement: 'process', config: 'mortal', restart: { resetAfter: 0 } })
    // Copied to places in such memory, of which a megabyte has several: some are in use, others are not.
    const request = Buffer.alloc(60_000, 1)
    const die = () => Promise.allSettled([mortal.abort(), ...Array.from({ length: 50 }, () => mortal.length(request))])
    await die()
    const before = resident()
    for (let i = 0; i < 30; i++) await die()
    say([resident() - before < 5 * ${mib}, mortal.stats().restarts])
    await Promise.all([guest.unload(), mortal.unload()])
  `
  expect(await said(source, gc)).toEqual([[true, 30]])
})

test('it may be written beyond the unload, and be detached at any time', async () => {
  const source = `${head}
    const [bytes, large] = [guest.alloc(50_000), guest.alloc(3_000_000).fill(5)]
    const answer = guest.checksum(large)
    if ('transfer' in ArrayBuffer.prototype) large.buffer.transfer(10)
    else try { structuredClone(large.buffer, { transfer: [large.buffer] }) } catch (error) { if (error.name !== 'DataCloneError') throw error }
    await collect()
    say(typeof await answer)
    say(await outcome(guest.length(large)).then(([how, value]) => how === 'resolved' ? value === 3_000_000 : value === 'invalid-argument'))
    await guest.unload()
    await collect()
    bytes.fill(9)
    say(bytes.every((byte) => byte === 9))
  `
  expect(await said(source, gc)).toEqual(['number', true, true])
})

test('a thread of the host may end while the guest reads or keeps them', async () => {
  const source = `
    const { Worker } = await import('node:worker_threads')
    const code = \`
      import { parentPort } from 'node:worker_threads'
      import { load } from '${index}'
      const guest = await load(${JSON.stringify(rustLocator)}, { placement: '${placement}' })
      await guest.keep(guest.alloc(300_000).fill(7))
      for (let i = 0; i < 8; i++) guest.checksum(guest.alloc(8_000_000).fill(i)).catch(() => {})
      parentPort.postMessage('up')
    \`
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(code, { eval: true, execArgv: ['--input-type=module'] })
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
      await worker.terminate()
      gc()
    }
    say('alive')
  `
  expect(await said(source, gc)).toEqual(['alive'])
})
