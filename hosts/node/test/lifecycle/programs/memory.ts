// SPDX-License-Identifier: Apache-2.0
// Memory, threads and files: bounded while calls go on, given back when a guest is unloaded. Also: what is idle sleeps.
import { readdirSync, readFileSync } from 'node:fs'
import { ownGuest, pythonGuest, rustGuest } from '../paths.ts'
import { collect, files, flood, load, mapped, play, rss, sleep, tell, threads, until } from './support.ts'

interface Fixture {
  fill(count: number): Buffer
  handle(bytes: Uint8Array): Buffer
  sleep_ms(ms: number): number
  nothing(): void
}

/** What `fill` of the Rust fixture answers with. */
const byteAt = (at: number): number => (at * 31 + (at >> 8)) & 0xff

/** Whether a response is what it was: a byte of each page is looked at, and the last. */
function isFilled(response: Buffer): boolean {
  for (let at = 0; at < response.length; at += 509) if (response[at] !== byteAt(at)) return false
  return response.at(-1) === byteAt(response.length - 1)
}

/** Times that threads gave up their processor to wait, and ticks that they used, of all threads of the process. */
function activity(): { switches: number; ticks: number } {
  let [switches, ticks] = [0, 0]
  for (const thread of readdirSync('/proc/self/task')) {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8')
    switches += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1])
    const fields = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return { switches, ticks }
}

/** Threads of guests: not the one that the interpreter began on. */
function guestThreads(): number {
  const names = readdirSync('/proc/self/task').map((thread) => {
    try {
      return readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').trim()
    } catch {
      return ''
    }
  })
  return names.filter((name) => name.startsWith('polyloop') && name !== 'polyloop-python').length
}

await play({
  dropped: async () => {
    const guest = await load<Fixture>(rustGuest)
    const seen = { rss: 0, slabs: 0, wrong: 0 }
    let before = 0
    await flood(20_000, 16, async (index) => {
      const response = await guest.fill(102_400)
      if (response[index] !== byteAt(index)) seen.wrong++
      if (index === 2000) before = rss()
      if (index % 500 === 0) {
        seen.slabs = Math.max(seen.slabs, guest.stats().slabBytes)
        if (index > 2000) seen.rss = Math.max(seen.rss, rss() - before)
      }
    })
    tell(seen)
  },
  retained: async () => {
    const guest = await load<Fixture>(rustGuest)
    const kept: Buffer[] = []
    const lengths = [700, 3000, 60_000, 100_000, 250_000, 300_000, 2_000_000]
    await flood(210, 8, async (index) => void kept.push(await guest.fill(lengths[index % lengths.length] as number)))
    await flood(5000, 16, (index) => guest.send(Buffer.alloc(lengths[index % 4] as number, 0xee)))
    await collect()
    await flood(2000, 16, (index) => guest.send(Buffer.alloc(lengths[index % 4] as number, 0xdd)))
    tell({ kept: kept.length, right: kept.filter(isFilled).length })
  },
  'retained-beyond': async () => {
    const guest = await load<Fixture>(rustGuest)
    const kept = await Promise.all([500, 5000, 100_000, 1_000_000].map((length) => guest.fill(length)))
    await guest.unload()
    await collect()
    tell(kept.every(isFilled))
  },
  'load-unload': async () => {
    const locator = process.argv[3] === 'python' ? pythonGuest : rustGuest
    const rounds = Number(process.argv[4])
    const measure = async () => {
      await collect()
      return { threads: threads(), files: files(), mapped: mapped(), rss: rss() }
    }
    let before = await measure()
    for (let round = 0; round < rounds * 1.25; round++) {
      if (round === rounds / 4) before = await measure()
      const guest = await load<Fixture>(locator, { config: { round } })
      await flood(50, 8, () => guest.send(Buffer.alloc(6000)))
      await guest.unload()
    }
    await until(() => threads() <= before.threads)
    const after = await measure()
    const grown = { mapped: after.mapped - before.mapped, rss: after.rss - before.rss }
    tell({ threads: after.threads - before.threads, files: after.files - before.files, ...grown })
  },
  /** With calls in flight, and waiting. */
  unload: async () => {
    const locator = process.argv[3] === 'python' ? pythonGuest : rustGuest
    // The interpreter stays, whatever is unloaded: its thread is no guest's.
    await (await load(locator, { config: { first: true } })).unload()
    await until(() => guestThreads() === 0)
    const before = threads()
    const guest = await load<Fixture>(locator, { threads: 3, maxCalls: 6 })
    await guest.nothing()
    const during = threads()
    const order: string[] = []
    const calls = Array.from({ length: 12 }, () => guest.sleep_ms(40).then(() => order.push('answered')))
    const twice = [guest.unload().then(() => order.push('unloaded')), guest.unload()]
    const refused = await guest.nothing().catch((error) => error.code)
    await Promise.all([...calls, ...twice])
    await until(() => threads() <= before)
    tell({ order, refused, more: during - before })
  },
  idle: async () => {
    const guests = [await load<Fixture>(rustGuest), await load<Fixture>(pythonGuest), await load<Fixture>(ownGuest)]
    for (const guest of guests.slice(0, 2)) await flood(5000, 64, () => guest.send(Buffer.alloc(512)))
    await guests[2]?.stats()
    await collect()
    // V8 may have something to do after the load, for longer on a busy machine: the quietest of some windows counts.
    let nobodyUsed = { switches: Number.POSITIVE_INFINITY, ticks: 0 }
    for (let window = 0; window < 10 && nobodyUsed.switches >= 20; window++) {
      await sleep(500)
      const before = activity()
      await sleep(2000)
      const after = activity()
      nobodyUsed = { switches: after.switches - before.switches, ticks: after.ticks - before.ticks }
    }
    for (const guest of guests.slice(0, 2)) await guest.nothing()
    tell({ ...nobodyUsed, threads: threads() })
  },
  /** A call in flight that takes long is no reason to turn. */
  waiting: async () => {
    const guest = await load<Fixture>(process.argv[3] === 'python' ? pythonGuest : rustGuest)
    await guest.nothing()
    const stop = new AbortController()
    const call = guest.call('sleep_ms', [1_000_000_000], { signal: stop.signal })
    await sleep(500)
    const [before, turns] = [activity(), guest.stats().thread.turns]
    await sleep(1500)
    const after = activity()
    const used = { switches: after.switches - before.switches, ticks: after.ticks - before.ticks }
    tell({ ...used, turns: guest.stats().thread.turns - turns })
    stop.abort()
    await call.catch(() => undefined)
  },
})
