// SPDX-License-Identifier: Apache-2.0
// A guest in a process of its own that attacks its host: conformance/fixtures/c/hostile.c. The host, and its other guests, go
// on. POLYLOOP_HOSTILE_ROUNDS and POLYLOOP_HOSTILE_SEED choose how often, and from where on, at random.
import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorCodes, PolyloopError } from '../../src/common/errors.ts'
import type { LoadOptions } from '../../src/common/options.ts'
import type { Runtime } from '../../src/runtime/handle.ts'
import { load } from '../../src/runtime/load.ts'
import { rejection, until } from '../support/calls.ts'
import { script } from '../support/child.ts'
import { cGuests } from '../support/folders.ts'
import { loadPython, loadRust, type PythonGuest, type RustGuest } from '../support/guests.ts'
import { inRoot } from '../support/paths.ts'
import { childrenOf, descriptors, ended, isAlive } from '../support/processes.ts'

type Layout = { readonly calls: number; readonly constants: Readonly<Record<string, number>> }
const { layouts } = JSON.parse(readFileSync(inRoot('spec/ring.json'), 'utf8')) as { layouts: Layout[] }
/** The block of eight slots that the guest here has. */
const layout = layouts.find(({ constants }) => constants.slots === 8)?.constants as Readonly<Record<string, number>>

const hostile = cGuests()('hostile')
/** Words of the header. */
const [cqTail, outstanding, controlHead] = [128, 416, 480]
const [response, item, release, seal] = [1, 2, 16, 17]
const [empty, held, own] = [4 << 8, 8 << 8, 16 << 8]

/** What the guest does; some of it before the host has its `ready`, as a config. */
interface Mischief {
  readonly kind: string
  readonly numbers?: readonly number[]
  readonly answer?: true
}

interface Attacker {
  readonly guest: Runtime
  readonly pid: number
  /** Whether it has said that it is where it was to be. */
  readonly isDone: () => boolean
  /** Calls that it never answers, in the slots 0 and 1. */
  readonly calls: readonly Promise<unknown>[]
}

let number = 0

async function attacker(options: LoadOptions = {}, mischief?: Mischief): Promise<Attacker> {
  let isDone = false
  const guest = await load(hostile, {
    placement: 'process',
    maxCalls: 8,
    restart: false,
    config: mischief ?? ++number,
    log: (text) => {
      isDone ||= text === 'done\n'
    },
    ...options,
  })
  const calls = [call(guest, 'hold', 'one'), call(guest, 'hold', 'two')]
  for (const one of calls) one.catch(() => {})
  const [instance] = guest.stats().instances
  return { guest, pid: instance?.pid as number, isDone: () => isDone, calls }
}

function call(guest: Runtime, name: string, argument?: unknown): Promise<unknown> {
  return guest.call(name, [argument]) as Promise<unknown>
}

/** Has it do something; the promise rejects when it has been ended. */
function attack(guest: Runtime, kind: string, numbers: readonly number[] = []): Promise<unknown> {
  const done = call(guest, 'mischief', { kind, numbers } satisfies Mischief)
  done.catch(() => {})
  return done
}

/** Entries for the completion ring. */
function entries(...of: readonly (readonly number[])[]): number[] {
  return of.flatMap((words) => Array.from({ length: 8 }, (_, word) => words[word] ?? 0))
}

const text = (what: string): number[] => [...Buffer.from(what)]

/** Everything that it owes an answer rejects, because it has broken the protocol with these words, and it is gone. */
async function isEnded(attack: Attacker, pending: readonly Promise<unknown>[], words: string): Promise<void> {
  for (const promise of pending) {
    const error = await rejection(promise, 'guest-crashed', 'the guest broke the protocol', words)
    expect(error.exit?.signal).toBe('SIGKILL')
  }
  await ended(attack.pid)
  await attack.guest.unload()
}

const tick = { count: 0 }
let timer: NodeJS.Timeout
let rust: RustGuest
let python: PythonGuest

beforeAll(async () => {
  timer = setInterval(() => tick.count++, 10)
  rust = await loadRust({ placement: 'process' })
  python = await loadPython({ placement: 'thread' })
})

afterAll(async () => {
  clearInterval(timer)
  await Promise.all([rust?.unload(), python?.unload()])
})

/** The host's timers fire, and its other guests answer, rightly. */
async function othersGoOn(): Promise<void> {
  const before = tick.count
  const bytes = Buffer.from(`${number}`.repeat(1000))
  const answers = await Promise.all([rust.echo(bytes), rust.add(1, number), python.echo(bytes), python.add(2, number)])
  expect(answers).toEqual([bytes, 1 + number, bytes, 2 + number])
  await until(() => tick.count > before)
}

describe('an entry of the completion ring', () => {
  const rows: [what: string, numbers: number[], words: string][] = [
    ['answers a call that was never made', entries([7, response]), 'answers a call that it was not given'],
    ['answers one twice', entries([2, response | empty], [2, response | empty]), 'a call that it was not given'],
    ['answers in a slot that there is not', entries([80, response]), 'gives an item back that it was not given'],
    ['answers in a slot below 0', entries([0xffff_ffff, response]), 'gives an item back that it was not given'],
    ['gives an item back that was not given', entries([9, response]), 'gives an item back that it was not given'],
    ['is of no kind', entries([0, 0]), 'an entry of the kind 0'],
    ['is of a kind that there is not', entries([0, 99]), 'an entry of the kind 99'],
    ['is longer than its place', entries([0, response, 0, 1025]), '1025 bytes does not fit its place'],
    ['has a context beyond its place', entries([0, response, 1000, 25]), '1025 bytes does not fit its place'],
    ['is 4 GB long', entries([0, response, 0, 0xffff_ffff]), 'longer than it may be'],
    ['has a context of 4 GB', entries([0, response, 0xffff_ffff, 1]), 'longer than it may be'],
    [
      'is longer than maxPayload, in a slab',
      entries([0, response | own, 0, 2 ** 24 + 8192, 9]),
      'longer than it may be',
    ],
    ['names the slab of the table', entries([0, seal, 0, 0, 0, 0, 1]), 'names a slab that there is not'],
    ['names a slab beyond the arena', entries([0, response, 0, 5, 2 ** 20]), 'names a slab that there is not'],
    ['names a slab below 0', entries([0, response, 0, 5, 0xffff_ffff]), 'names a slab that there is not'],
    [
      'names a slab that ends beyond the arena',
      entries([0, response | own, 0, 2 ** 21, 2 ** 20 - 1]),
      'names a slab that there is not',
    ],
    ['lies beyond its slab', entries([0, response, 0, 1001, 9, 2 ** 20 - 1000]), 'does not fit its place'],
    ['begins 4 GB behind its slab', entries([0, response, 0, 1, 9, 0xffff_ffff]), 'does not fit its place'],
    ['names a slab that is lent', entries([0, response | own, 0, 2000, 9], [1, response | own, 0, 2000, 9]), 'a slab'],
    ['shares a slab that is one alone', entries([0, response, 0, 9, 9], [1, response | own, 0, 9, 9]), 'a slab'],
    ['is an item of a call that does not exist', entries([8, item, 0, 0, 9]), 'an item of a call that does not exist'],
    ['is an item below 0', entries([0xffff_fffe, item, 0, 1]), 'an item of a call that does not exist'],
    ['seals a slab that there is not', entries([0, seal, 0, 0, 2 ** 20 + 9, 0, 1]), 'names a slab that there is not'],
    ['seals a slab without responses', entries([0, seal, 0, 0, 9]), 'seals a slab with 0 responses'],
    ['seals one with fewer than none', entries([0, seal, 0, 0, 9, 0, 0xffff_fff0]), 'seals a slab with -16 responses'],
    ['seals one twice', entries([0, seal, 0, 0, 9, 0, 5], [0, seal, 0, 0, 9, 0, 6]), 'seals a slab with 6'],
    [
      'seals one with fewer than have come',
      entries([0, item, 0, 4, 9], [0, item, 0, 4, 9], [0, seal, 0, 0, 9, 0, 1]),
      'of which 2 have come',
    ],
    ['lets go of a request that was never made', entries([7, release]), 'lets go of a request that it does not hold'],
    ['lets go of an item that was not given', entries([20, release]), 'lets go of an item that it does not hold'],
    ['lets go twice before the answer', entries([0, release], [0, release]), 'lets go of the same twice'],
    [
      'lets go twice after it',
      entries([2, response | empty | held], [2, release], [2, release]),
      'lets go of a request that it does not hold',
    ],
    [
      'does not hold what was let go',
      entries([2, release], [2, response | empty]),
      'it lets go of what it does not hold',
    ],
  ]

  test.each(rows)('%s: the guest is ended', async (_, numbers, words) => {
    const one = await attacker({ maxPayload: 2 ** 24 })
    void attack(one.guest, 'entry', numbers)
    // Of some the first entry answers a call, or reads as an answer that is no JSON.
    const settled = await Promise.allSettled(one.calls)
    const ends = settled
      .filter(({ status }) => status === 'rejected')
      .map((one) => (one as PromiseRejectedResult).reason)
    expect(ends.some((error) => error.code === 'guest-crashed')).toBe(true)
    expect(ends.every((error) => ['guest-crashed', 'protocol'].includes(error.code))).toBe(true)
    const crashed = ends.filter((error) => error.code === 'guest-crashed').map((error) => Promise.reject(error))
    await isEnded(one, crashed, words)
    await othersGoOn()
  })

  test('is one item more than there is credit for: the items before it are read', async () => {
    const one = await attacker()
    const stream = one.guest.stream('hold', ['stream']) as AsyncIterableIterator<unknown>
    const first = stream.next()
    await until(async () => ((await call(one.guest, 'held')) as number[]).length === 3)
    // Texts of length 0, one of them for the reader that waits, are no JSON: these are bytes.
    const items = Array.from({ length: 66 }, () => [2, item | (1 << 8), 0, 0, 9])
    void attack(one.guest, 'entry', entries(...items))
    expect(await first).toEqual({ done: false, value: Buffer.alloc(0) })
    await until(() => !isAlive(one.pid))
    const rest = async (): Promise<unknown> => {
      for (let read = 0; read < 100; read++) if ((await stream.next()).done === true) return read
      return undefined
    }
    await isEnded(one, [...one.calls, rest()], 'sends items without credit')
  })

  test('that goes to nobody is dropped, and so are items that nobody takes', async () => {
    const one = await attacker()
    const [first] = one.calls
    const nobodys = entries([5, item | (1 << 8), 0, 3, 9], [0, item, 0, 3, 9], [0, 18], [0, response | empty])
    void attack(one.guest, 'entry', nobodys)
    expect(await first).toBeUndefined()
    process.kill(one.pid, 'SIGKILL')
    await rejection(one.calls[1] as Promise<unknown>, 'guest-crashed', 'SIGKILL')
    await one.guest.unload()
  })
})

describe('the words of the header', () => {
  const rows: [what: string, numbers: number[], words: string][] = [
    ['a tail that is ahead by more than the ring', [cqTail, 5000], 'its ring holds more than it can'],
    ['a tail that goes backwards', [cqTail, 0xffff_0000], 'its ring holds more than it can'],
    ['a tail over entries that nobody wrote', [cqTail, 300], 'an entry of the kind 0'],
  ]
  test.each(rows)('%s: the guest is ended', async (_, numbers, words) => {
    const one = await attacker()
    const done = attack(one.guest, 'word', numbers)
    await isEnded(one, [...one.calls, done], words)
    await othersGoOn()
  })

  test('a control ring that nobody acts on: the guest is ended, by a cancellation and by an item', async () => {
    for (const way of ['cancel', 'item']) {
      // So far behind and ahead that the guest's own thread, which may be awake and acts on all that seems to be there,
      // has not caught up before the host looks.
      for (const head of [0x7000_0000, 0xa000_0000]) {
        const one = await attacker()
        const controller = new AbortController()
        const cancelled = one.guest.call('hold', ['x'], { signal: controller.signal }) as Promise<unknown>
        const duplex = one.guest.duplex('hold')
        const pending = [...one.calls, duplex.next(), attack(one.guest, 'word', [controlHead, head])]
        const outcomes = Promise.allSettled([cancelled, ...pending])
        await until(one.isDone)
        if (way === 'cancel') controller.abort()
        else duplex.write('item').catch(() => {})
        await outcomes
        await isEnded(one, pending, 'does not act on the control ring')
        await rejection(cancelled, way === 'cancel' ? 'cancelled' : 'guest-crashed')
      }
    }
    await othersGoOn()
  })

  test.each(['move', 'head', 'ring', 'steal'])('%s, without end: timers and other guests go on', async (kind) => {
    const one = await attacker()
    const done = attack(one.guest, kind)
    await until(() => one.isDone() || !isAlive(one.pid))
    for (let round = 0; round < 20; round++) await othersGoOn()
    // The tail has run into what nobody wrote; the others are allowed, and cost only processors.
    if (kind !== 'move') process.kill(one.pid, 'SIGKILL')
    for (const promise of [...one.calls, done]) await rejection(promise, 'guest-crashed')
    await one.guest.unload()
  })

  test('how many calls are outstanding: a program ends when it is done all the same, and not before', async () => {
    const head = `const guest = await load(${JSON.stringify(hostile)}, { placement: 'process', log: () => {} })`
    const write = (value: number): string =>
      `await guest.mischief({ kind: 'word', numbers: [${outstanding}, ${value}], answer: true })`
    const ends = await script(`${head}; ${write(1000)}; say('the end')`)
    expect(ends).toMatchObject({ code: 0, stdout: '"the end"\n' })
    const waits = await script(`${head}
      const call = outcome(guest.hold())
      ${write(0)}
      setTimeout(() => process.kill(guest.stats().instances[0].pid, 'SIGKILL'), 300).unref()
      say((await call)[1])
    `)
    expect(waits).toMatchObject({ code: 0, stdout: '"guest-crashed"\n' })
  })
})

describe('what is read', () => {
  test('changes while it is read: calls settle, and nothing is written beyond a text', async () => {
    const one = await attacker()
    void attack(one.guest, 'race')
    await until(one.isDone)
    const counts = { resolved: 0, protocol: 0 }
    for (let round = 0; round < 400; round++) {
      // Three of the eight slots are taken.
      const calls = Array.from({ length: 5 }, () => call(one.guest, 'echo'))
      for (const { status, ...rest } of await Promise.allSettled(calls)) {
        if (status === 'fulfilled') counts.resolved++
        else if ((rest as PromiseRejectedResult).reason.code === 'protocol') counts.protocol++
      }
    }
    expect(counts.resolved + counts.protocol).toBe(2000)
    process.kill(one.pid, 'SIGKILL')
    await Promise.allSettled(one.calls)
    await one.guest.unload()
    await othersGoOn()
  })

  const rows: [what: string, status: number, json: string, code: string][] = [
    ['an error without form', 1, 'nope', 'protocol'],
    ['an error of the host that is none', 2, '{"code":7,"message":{"toString":1}}', 'protocol'],
    ['an end that a process never had', 1, '{"type":"","message":"x","exit":7}', 'guest-error'],
    ['an error of causes without end', 1, `${'{"cause":'.repeat(100)}{}${'}'.repeat(100)}`, 'guest-error'],
    ['a text that is no JSON', 0, '{"a":', 'protocol'],
  ]
  test.each(rows)('%s rejects its call', async (_, status, json, code) => {
    const one = await attacker()
    const bytes = Buffer.concat([Buffer.from(json), Buffer.alloc(4)])
    const place = (layout.responsesOffset as number) / 4
    const words = Array.from({ length: bytes.length >> 2 }, (_, word) => [place + word, bytes.readUInt32LE(word * 4)])
    await call(one.guest, 'mischief', { kind: 'word', numbers: words.flat(), answer: true })
    void attack(one.guest, 'entry', entries([0, response | (status << 16), 0, Buffer.byteLength(json)]))
    const error = await rejection(one.calls[0] as Promise<unknown>, code as 'protocol')
    expect(error.exit).toBeUndefined()
    process.kill(one.pid, 'SIGKILL')
    await Promise.allSettled(one.calls)
    await one.guest.unload()
  })
})

describe('the lifeline', () => {
  const rows: [what: string, line: string][] = [
    ['garbage', '{nope'],
    ['no object', '7'],
    ['null', 'null'],
    ['an event that there is not', '{"event":"toString"}'],
    ['a tree of lists', '['.repeat(2000) + ']'.repeat(2000)],
    ['hello, again', '{"event":"hello"}'],
    ['ready, again', '{"event":"ready","payload":"{}"}'],
    ['failed, after ready', '{"event":"failed","rc":{"valueOf":1},"payload":"{}"}'],
    ['closed, unasked', '{"event":"closed"}'],
  ]
  test.each(rows)('%s: the guest is ended', async (_, line) => {
    const one = await attacker()
    const done = attack(one.guest, 'say', text(`${line}\n`))
    await isEnded(one, [...one.calls, done], `its process says '${line.slice(0, 100)}`)
    await othersGoOn()
  })

  test.each([
    ['a line without end', 'x'],
    ['greetings without end', '{"event":"hello"}\n'],
    ['empty lines without end', '\n'],
  ])('%s: the guest is ended', async (_, what) => {
    const one = await attacker()
    const done = attack(one.guest, 'chatter', text(what))
    await isEnded(one, [...one.calls, done], 'its process says')
    await othersGoOn()
  })

  test('a death that it makes up is told as it says it, without an end that no process had', async () => {
    const one = await attacker()
    const line = JSON.stringify({ event: 'died', payload: '{"type":"","message":"made up","exit":{"code":{}}}' })
    const done = attack(one.guest, 'say', text(`${line}\n`))
    for (const promise of [...one.calls, done]) {
      const error = await rejection(promise, 'guest-crashed', 'made up')
      expect(error.exit).toBeUndefined()
    }
    await ended(one.pid)
    await one.guest.unload()
  })

  const starts: [what: string, line: string, code: 'init-failed' | 'protocol'][] = [
    ['closed', '{"event":"closed"}', 'init-failed'],
    [
      'a failure whose number is none',
      '{"event":"failed","rc":{"valueOf":1,"toString":1},"payload":"{}"}',
      'init-failed',
    ],
    ['a manifest that is none', '{"event":"ready","payload":"{\\"methods\\":7}"}', 'protocol'],
    ['ready, of no text', '{"event":"ready","payload":{"methods":[]}}', 'protocol'],
  ]
  test.each(starts)('%s, while it starts: the load rejects, and no process is left', async (_, line, code) => {
    const before = childrenOf(process.pid).length
    const mischief = { kind: 'say', numbers: text(`${line}\n`) }
    const error = await attacker({ drainTimeout: 100 }, mischief).catch((error: unknown) => error)
    expect(error).toMatchObject({ code })
    await until(() => childrenOf(process.pid).length === before)
    await othersGoOn()
  })

  test('it leaves while it starts, after it has said closed: the load rejects', async () => {
    const mischief = { kind: 'exit', numbers: [0] }
    await rejection(attacker({}, mischief), 'init-failed', 'exited with code 0 while it started')
  })
})

describe('other ways', () => {
  test('lines without end: timers and other guests go on', async () => {
    for (const what of ['\n', 'x', 'a line of the usual length\n']) {
      let [lines, most] = [0, 0]
      const one = await attacker({ log: () => lines++ })
      const turn = (): void => {
        most = Math.max(most, lines)
        lines = 0
        if (isAlive(one.pid)) setImmediate(turn)
      }
      turn()
      const done = attack(one.guest, 'print', text(what))
      for (let round = 0; round < 10; round++) await othersGoOn()
      process.kill(one.pid, 'SIGKILL')
      for (const promise of [...one.calls, done]) await rejection(promise, 'guest-crashed', 'SIGKILL')
      await one.guest.unload()
      // However many come at once, a turn of the loop hands on some.
      expect(most).toBeLessThan(1000)
    }
  })

  test('the files that are shared keep their length, whoever wants to cut or stretch them', async () => {
    const one = await attacker()
    expect(await call(one.guest, 'mischief', { kind: 'truncate' })).toBe(6)
    process.kill(one.pid, 'SIGKILL')
    await Promise.allSettled(one.calls)
    await one.guest.unload()
  })

  test('it closes everything that it shares: its end is noticed, and nothing is left', async () => {
    const before = descriptors()
    const one = await attacker()
    const done = attack(one.guest, 'close', [0, 1, 2, 3, 4, 5, 6, 7])
    for (let round = 0; round < 5; round++) await othersGoOn()
    process.kill(one.pid, 'SIGKILL')
    for (const promise of [...one.calls, done]) await rejection(promise, 'guest-crashed', 'SIGKILL')
    await one.guest.unload()
    await until(() => descriptors().length <= before.length)
  })

  test('it leaves in the middle: the exit code is told', async () => {
    const one = await attacker()
    const done = attack(one.guest, 'exit', [3])
    for (const promise of [...one.calls, done]) {
      const error = await rejection(promise, 'guest-crashed', 'code 3')
      expect(error.exit).toMatchObject({ code: 3, signal: null })
    }
    await one.guest.unload()
  })

  test('it does not want to end with its host, and ends', async () => {
    const { code, stdout } = await script(`
      let done
      const isDone = new Promise((resolve) => { done = resolve })
      const options = { placement: 'process', log: (text) => text === 'done\\n' && done() }
      const guest = await load(${JSON.stringify(hostile)}, options)
      guest.mischief({ kind: 'linger' }).catch(() => {})
      await isDone
      say(guest.stats().instances[0].pid)
      process.exit(7)
    `)
    expect(code).toBe(7)
    await ended(Number(stdout))
  })

  test('it scribbles on the table of slabs: the host does not look there', async () => {
    const one = await attacker()
    const table = Array.from({ length: 200 }, (_, unit) => [unit, 0xffff_ffff]).flat()
    await call(one.guest, 'mischief', { kind: 'arena', numbers: table, answer: true })
    void attack(one.guest, 'entry', entries([0, response | own | (1 << 8), 0, 2000, 9]))
    expect((await one.calls[0]) as Buffer).toHaveLength(2000)
    process.kill(one.pid, 'SIGKILL')
    await Promise.allSettled(one.calls)
    await one.guest.unload()
  })
})

describe('at random', () => {
  const rounds = Number(process.env.POLYLOOP_HOSTILE_ROUNDS ?? 300)
  const firstSeed = Number(process.env.POLYLOOP_HOSTILE_SEED ?? 1)
  const collect = (): void => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    gc()
  }
  const mappings = (): number => readFileSync('/proc/self/maps', 'latin1').split('memfd:polyloop').length - 1

  async function readAll(stream: AsyncIterable<unknown>): Promise<void> {
    for await (const _ of stream);
  }

  async function round(seed: number): Promise<void> {
    const one = await attacker()
    const { guest, pid } = one
    const controller = new AbortController()
    const duplex = guest.duplex('hold')
    const calls = [
      ...one.calls,
      guest.call('hold', [Buffer.alloc(5000)], { signal: controller.signal }) as Promise<unknown>,
      readAll(guest.stream('hold', [seed]) as AsyncIterable<unknown>),
      readAll(duplex),
      duplex.write('an item'),
      duplex.write(Buffer.alloc(10_000)),
      call(guest, 'echo', seed),
      attack(guest, 'random', [seed, 1 + ((seed * 7) % 60)]),
    ]
    let isOver = false
    const outcomes = Promise.allSettled(calls).finally(() => {
      isOver = true
    })
    await until(() => one.isDone() || isOver)
    controller.abort()
    await othersGoOn()
    if (!isOver && isAlive(pid)) process.kill(pid, 'SIGKILL')
    for (const outcome of await outcomes) {
      if (outcome.status === 'fulfilled') continue
      expect(outcome.reason).toBeInstanceOf(PolyloopError)
      expect(errorCodes).toContain((outcome.reason as PolyloopError).code)
    }
    await guest.unload()
    expect(isAlive(pid)).toBe(false)
  }

  test(`${rounds} rounds from seed ${firstSeed} leave the host as it was`, {
    timeout: 300_000 + rounds * 5000,
  }, async () => {
    const children = childrenOf(process.pid).length
    const before = { files: descriptors().length, children, maps: mappings(), rss: 0 }
    for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
      try {
        await round(seed)
        await until(() => childrenOf(process.pid).length === before.children && descriptors().length <= before.files)
      } catch (error) {
        throw new Error(`with seed ${seed}: POLYLOOP_HOSTILE_SEED=${seed} POLYLOOP_HOSTILE_ROUNDS=1`, { cause: error })
      }
      if (seed === firstSeed + 20) {
        collect()
        before.rss = process.memoryUsage.rss()
      }
    }
    await until(() => {
      collect()
      return mappings() <= before.maps + 3
    })
    if (before.rss > 0) expect(process.memoryUsage.rss()).toBeLessThan(before.rss + 200 * 2 ** 20)
  })
})
