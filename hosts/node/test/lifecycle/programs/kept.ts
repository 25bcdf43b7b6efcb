// SPDX-License-Identifier: Apache-2.0
// What is kept of guests that go on, or have gone, and what that holds: memory, files, address space.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type LoadOptions, load } from 'polyloop'
import { ownGuest, rustGuest } from '../paths.ts'
import { collect, play, tell } from './support.ts'

interface Fixture {
  fill(count: number): Buffer
  echo(bytes: Uint8Array): Buffer
  length(bytes: Uint8Array): number
}

const home = process.argv[3]
const placement: LoadOptions =
  home === 'shared' ? { placement: 'process', shared: `kept-${process.pid}` } : { placement: home as 'thread' }

/** Bytes of address space. */
const space = (): number => Number(/^VmSize:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024

/** Files in memory of ours. */
function files(): number {
  const links = readdirSync('/proc/self/fd').map((file) => {
    try {
      return readlinkSync(`/proc/self/fd/${file}`)
    } catch {
      return ''
    }
  })
  return links.filter((link) => link.includes('polyloop')).length
}

const byteAt = (at: number): number => (at * 31 + (at >> 8)) & 0xff

function isFilled(response: Buffer): boolean {
  for (let at = 0; at < response.length; at += 97) if (response[at] !== byteAt(at)) return false
  return true
}

/** Keeps some of the answers of `sizes`, by turns. */
async function slabsWith(sizes: readonly number[], rounds: number, keeps: (index: number) => boolean) {
  const guest = await load<Fixture>(rustGuest, placement)
  const kept: Buffer[] = []
  for (let round = 0; round < rounds; round++) {
    const answers = await Promise.all(sizes.map((size) => guest.fill(size)))
    kept.push(...answers.filter((_, index) => keeps(index + round * sizes.length)))
    if (round % 100 === 99) await collect()
  }
  await collect()
  const slabs = guest.stats().slabBytes
  if (!kept.every(isFilled)) throw new Error('an answer that was kept has changed')
  await guest.unload()
  return { kept, slabs }
}

/** What a promise rejects with. */
async function refusal(of: () => unknown): Promise<[code: string, message: string]> {
  try {
    await of()
    return ['', '']
  } catch (error) {
    const { code = (error as Error).name, message } = error as { readonly code?: string; readonly message: string }
    return [code, message]
  }
}

await play({
  small: async () => {
    const { kept, slabs } = await slabsWith([2000, ...new Array(4).fill(200_000)], 1200, (index) => index % 5 === 0)
    tell({ kept: kept.reduce((sum, { length }) => sum + length, 0), slabs })
  },
  sparse: async () => {
    const sizes = [1100, 2000, 4097, 8193, 16_000, 33_000]
    // Of those of each size one in forty.
    const { kept, slabs } = await slabsWith(sizes, 2000, (index) => Math.floor(index / sizes.length) % 40 === 0)
    tell({ bound: kept.reduce((sum, { length }) => sum + Math.max(64 * length, 131_072), 0), slabs })
  },
  generations: async () => {
    const kept: Buffer[] = []
    const one = async (round: number): Promise<void> => {
      const guest = await load<Fixture>(rustGuest, { ...placement, config: { round } })
      kept.push(await guest.fill(100_000), await guest.echo(guest.alloc(10_000).fill(round)))
      // Memory of the runtime's requests.
      requests.push(guest.alloc(10_000))
      await guest.unload()
    }
    const requests: Buffer[] = []
    await one(0)
    await collect()
    const before = { space: space(), files: files() }
    for (let round = 1; round <= 40; round++) await one(round)
    await collect()
    const right = kept.slice(2).filter((bytes, at) => (at % 2 === 0 ? isFilled(bytes) : bytes[9999] === (at >> 1) + 1))
    tell({
      space: space() - before.space,
      files: files() - before.files,
      right: right.length,
      requests: requests.length,
    })
  },
  limited: async () => {
    const guest = await load<Fixture>(rustGuest, placement)
    const large = Buffer.alloc(2 ** 30)
    const worked = await refusal(async () => {
      await guest.echo(Buffer.alloc(500_000))
      await guest.length(guest.alloc(5_000_000))
    })
    tell({
      worked,
      alloc: await refusal(() => guest.alloc(2 ** 30)),
      request: await refusal(() => guest.length(large)),
    })
    await guest.unload()
  },
  orders: async () => {
    const one = async (round: number): Promise<void> => {
      // A Rust library that is reloaded on threads stays mapped.
      const guest = await load<Fixture>(home === 'thread' ? ownGuest : rustGuest, { ...placement, config: { round } })
      const reload = (): Promise<void> => guest.reload().catch(() => {})
      const reloads = [[], [reload()], [reload(), reload()]][round % 3] as Promise<void>[]
      if (round % 2 === 0) await Promise.all(reloads)
      await Promise.all([guest.unload(), ...reloads])
    }
    for (let round = 0; round < 6; round++) await one(round)
    await collect()
    const before = { space: space(), files: files() }
    for (let round = 6; round < 106; round++) await one(round)
    await collect()
    tell({ space: space() - before.space, files: files() - before.files })
  },
})
