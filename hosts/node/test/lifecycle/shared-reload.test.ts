// SPDX-License-Identifier: Apache-2.0
// New code in the place of old, where several hosts share the guest's process: what one of them starts is for all.
import { execFileSync } from 'node:child_process'
import { closeSync, copyFileSync, existsSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { until } from '../support/calls.ts'
import { dist, said } from '../support/child.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { brokerOf, descriptors, ended, isAlive } from '../support/processes.ts'
import { host, type Outcome, type TestHost, thread } from './hosts.ts'
import { rustGuest, streamsGuest } from './paths.ts'

const guests = [
  { language: 'Rust', from: rustGuest },
  { language: 'Python', from: streamsGuest },
]

/** Code that several hosts share, in a folder of its own, and every process that was started with it. */
class Code {
  readonly folder: string = temporaryFolder()
  readonly locator: string
  readonly options: object
  readonly #from: string
  readonly #path: string
  readonly #starts: string = join(this.folder, 'starts')
  readonly #failure: string = join(this.folder, 'failure')
  readonly #pipe: string = join(this.folder, 'pipe')

  constructor(from: string, more: object = {}) {
    const [prefix = '', path = ''] = from.split(/:(.*)/)
    this.#from = path
    this.#path = join(this.folder, basename(path))
    this.locator = `${prefix}:${this.#path}`
    const config = { starts: this.#starts, failsWith: this.#failure, waitsAt: this.#pipe }
    this.options = { shared: this.folder, config, ...more }
    this.write()
  }

  /** Writes it anew. */
  write(): void {
    const fresh = join(this.folder, 'fresh')
    copyFileSync(this.#from, fresh)
    // At once: a reload may be under way.
    renameSync(fresh, this.#path)
  }

  /** Whether guests that are started from now on fail. */
  fail(on: boolean): void {
    if (on) write(this.folder, 'failure', '')
    else rmSync(this.#failure)
  }

  /** Guests that are started from now on are not ready until they are let go. */
  hold(): void {
    execFileSync('mkfifo', [this.#pipe])
  }

  /** Lets the one go that waits. */
  letGo(): void {
    const pipe = openSync(this.#pipe, 'w')
    rmSync(this.#pipe)
    closeSync(pipe)
  }

  /** No guest waits, and none is to. */
  release(): void {
    rmSync(this.#pipe)
  }

  /** The process of the guest of this number, which is held. */
  async held(number: number): Promise<number> {
    await until(() => this.pids.length === number)
    return this.pids[number - 1] as number
  }

  /** The processes that were started with it. */
  get pids(): number[] {
    if (!existsSync(this.#starts)) return []
    return readFileSync(this.#starts, 'latin1').trimEnd().split('\n').map(Number)
  }

  load(one: TestHost, more: object = {}): Promise<number | undefined> {
    return one.load(this.locator, { ...this.options, ...more })
  }

  /** Loads it in all hosts. */
  async loadAll(all: readonly TestHost[], more: object = {}): Promise<number> {
    const [first] = await Promise.all(all.map((one) => this.load(one, more)))
    return first as number
  }

  /** Unloads it everywhere, and waits until nothing is left of it. */
  async end(all: readonly TestHost[]): Promise<void> {
    const brokers = this.pids.filter(isAlive).map(brokerOf)
    await Promise.all(all.map((one) => one.unload()))
    for (const pid of [...this.pids, ...brokers]) await ended(pid as number)
  }
}

/** Waits until all hosts are served by one process, which is none of these. */
async function together(all: readonly TestHost[], ...before: readonly number[]): Promise<number> {
  let pid: number | undefined
  await until(async () => {
    const pids = await Promise.all(all.map((one) => one.pid()))
    pid = pids[0]
    return pid !== undefined && !before.includes(pid) && pids.every((other) => other === pid)
  })
  return pid as number
}

/** Lets so many questions to a host, and its answers, go by. */
async function questions(one: TestHost, count: number): Promise<void> {
  for (let question = 0; question < count; question++) await one.types()
}

/** What came of a reload that must have done it. */
async function reload(one: TestHost): Promise<void> {
  expect(await one.reload()).toEqual({ value: undefined })
}

const loaded = ['starting', 'ready']
const reloaded = [...loaded, ...loaded, 'reloaded']

describe.each(guests)('a $language guest', ({ from }) => {
  test.each([
    ['threads of one process', thread],
    ['processes', host],
  ])('of %s is loaded anew for all of them by one', async (_, start) => {
    const code = new Code(from)
    const all = [start(), start()] as const
    const before = start === host ? await all[1].descriptors() : descriptors()
    const pid = await code.loadAll(all)
    expect(await all[1].pid()).toBe(pid)
    const broker = brokerOf(pid) as number
    await reload(all[0])
    expect(await all[0].pid()).not.toBe(pid)
    expect(await all[0].call('inits')).toBe(1)
    const fresh = await together(all, pid)
    await until(async () => (await all[1].reloads()) === 1)
    await ended(pid)
    await ended(broker)
    expect(code.pids).toEqual([pid, fresh])
    for (const one of all) {
      expect(await one.types()).toEqual(reloaded)
      expect(await one.told('starting')).toEqual([pid, fresh])
      expect(await one.reloads()).toBe(1)
    }
    // Who comes now finds the new one; and it may be replaced, too, by any of them.
    const third = start()
    expect(await code.load(third)).toBe(fresh)
    await reload(third)
    await together([...all, third], pid, fresh)
    await code.end([...all, third])
    const left = async (): Promise<string[]> => (start === host ? all[1].descriptors() : descriptors())
    await all[0].end()
    await third.end()
    if (start === host) await until(async () => (await left()).length <= before.length)
    else {
      await all[1].end()
      await until(async () => (await left()).filter((file) => /memfd/.test(file)).length === 0)
    }
  })

  test('loses, refuses and doubles no call of any host, however often it is loaded anew', async () => {
    const code = new Code(from)
    const all = [host(), host(), thread()]
    let pid = await code.loadAll(all)
    const file = join(code.folder, 'marks')
    await Promise.all(all.map((one) => one.mark(file)))
    for (let round = 0; round < 6; round++) {
      await reload(all[round % 3] as TestHost)
      pid = await together(all, pid)
      const before = await Promise.all(all.map((one) => one.flooded()))
      for (const [index, one] of all.entries()) {
        await until(async () => (await one.flooded()) > (before[index] as number) + 50)
      }
    }
    const marks: string[] = []
    for (const one of all) {
      const { wrong, codes, ...made } = await one.calm()
      expect({ wrong, codes }).toEqual({ wrong: 0, codes: [] })
      marks.push(...made.marks)
    }
    expect(readFileSync(file, 'latin1').trimEnd().split('\n').sort()).toEqual(marks.sort())
    await until(async () => (await Promise.all(all.map((one) => one.reloads()))).every((count) => count === 6))
    expect(code.pids.length).toBe(7)
    await code.end(all)
  })

  test('that has calls and streams in flight goes on with them, and ends when they have', async () => {
    const code = new Code(from)
    const all = [host(), host()] as const
    const pid = await code.loadAll(all)
    for (const one of all) {
      // More than can be ahead of their reader.
      await one.read('count', 5000)
      await one.begin(1, 'sleep_async', 1)
    }
    await reload(all[1])
    await together(all, pid)
    for (const [index, one] of all.entries()) {
      expect(await one.outcomes()).toEqual([{ value: 1 }])
      expect(isAlive(pid)).toBe(true)
      expect(await one.rest()).toBe(5000)
      expect(isAlive(pid) || index === 1).toBe(true)
    }
    await ended(pid)
    await code.end(all)
  })

  test('whose new code fails goes on for all, who notice nothing, until it is mended', async () => {
    const code = new Code(from)
    const all = [host(), host()] as const
    const pid = await code.loadAll(all)
    code.fail(true)
    for (const one of all) {
      const { code: why, message } = (await one.reload()) as Required<Outcome>
      expect([why, message]).toEqual(['init-failed', expect.stringContaining('it was told to fail')])
    }
    expect(await together(all)).toBe(pid)
    for (const one of all) {
      expect(await one.types()).toEqual([...loaded, 'starting', 'reload-failed'])
      expect(await one.call('inits')).toBe(1)
    }
    code.fail(false)
    await reload(all[1])
    await together(all, pid)
    await code.end(all)
  })

  test('that several hosts load anew at the same time is one for all in the end', async () => {
    const code = new Code(from)
    const all = [host(), host(), host()] as const
    let pid = await code.loadAll(all)
    await Promise.all(all.map((one) => one.flood()))
    for (let round = 0; round < 6; round++) {
      await Promise.all([reload(all[0]), reload(all[1]), ...(round % 2 === 0 ? [reload(all[2])] : [])])
      pid = await together(all, pid)
      // Nobody is told to go elsewhere any more.
      await until(() => code.pids.filter(isAlive).length === 1)
      expect(await together(all)).toBe(pid)
    }
    for (const one of all) expect(await one.calm()).toMatchObject({ wrong: 0, codes: [] })
    await code.end(all)
  })

  test.each([
    ['killed', host],
    ['terminated, a thread,', thread],
  ])('whose host is %s while it loads it anew is there for the others', async (_, start) => {
    const code = new Code(from)
    const all = [host(), host()] as const
    await code.loadAll(all)
    await Promise.all(all.map((one) => one.flood()))
    const count = async (one: TestHost): Promise<number> => (await one.types()).length
    // At once, and when there is the new process, when it is ready, when the others are told, and later and later between.
    const moments: ((victim: TestHost) => Promise<unknown>)[] = [
      async () => {},
      async (victim) => until(async () => (await count(victim)) > 2),
      async (victim) => until(async () => (await count(victim)) > 3),
      async () => until(async () => (await count(all[0])) > told),
      ...Array.from({ length: 10 }, (_, turns) => async (victim: TestHost) => {
        await until(async () => (await count(victim)) > 2)
        await questions(victim, turns * turns)
      }),
    ]
    let told = 0
    for (const moment of moments) {
      const victim = start()
      await code.load(victim)
      told = await count(all[0])
      void victim.reload()
      await moment(victim)
      await victim.end()
      await together(all)
      const before = await Promise.all(all.map((one) => one.flooded()))
      for (const [index, one] of all.entries()) {
        await until(async () => (await one.flooded()) > (before[index] as number) + 50)
      }
      // What the victim has started goes with it, or serves the others.
      await until(() => code.pids.filter(isAlive).length === 1)
    }
    for (const one of all) expect(await one.calm()).toMatchObject({ wrong: 0, codes: [] })
    const pid = await together(all)
    await reload(all[1])
    await together(all, pid)
    await code.end(all)
  })

  test('may be loaded by more hosts while one loads it anew', async () => {
    const code = new Code(from)
    const first = host()
    await code.load(first)
    const all = [first]
    for (let round = 0; round < 5; round++) {
      const more = [host(), host()]
      const [pid] = code.pids.slice(-1)
      await Promise.all([reload(first), ...more.map((one) => code.load(one))])
      all.push(...more)
      await together(all, pid as number)
    }
    for (const one of all) expect(await one.call('inits')).toBe(1)
    await until(() => code.pids.filter(isAlive).length === 1)
    await code.end(all)
  })

  test('is the old one for those who load it before the new one is ready, and then they come along', async () => {
    const code = new Code(from)
    const all = [host(), host(), host()] as const
    const pid = await code.loadAll(all.slice(0, 2))
    code.hold()
    const loading = reload(all[0])
    const fresh = await code.held(2)
    expect(await code.load(all[2])).toBe(pid)
    code.letGo()
    await loading
    expect(await together(all, pid)).toBe(fresh)
    await ended(pid)
    await code.end(all)
  })

  test('that dies before it is ready is no new one, and the old one goes on', async () => {
    const code = new Code(from)
    const all = [host(), host()] as const
    const pid = await code.loadAll(all)
    code.hold()
    const loading = all[0].reload()
    const fresh = await code.held(2)
    const broker = brokerOf(fresh) as number
    process.kill(fresh, 'SIGKILL')
    const { code: why, message } = (await loading) as Required<Outcome>
    expect([why, message]).toEqual(['init-failed', expect.stringContaining('was killed by SIGKILL while it started')])
    await ended(broker)
    for (const one of all) expect(await one.pid()).toBe(pid)
    expect(await all[0].types()).toEqual([...loaded, 'starting', 'reload-failed'])
    expect(await all[1].types()).toEqual(loaded)
    code.release()
    await reload(all[1])
    await together(all, pid)
    await code.end(all)
  })

  test('that is not ready goes with the host that wants it, and the old one goes on', async () => {
    // An init that does not end is not waited for.
    const code = new Code(from, { drainTimeout: 100 })
    const all = [host(), host()] as const
    const pid = await code.loadAll(all)
    code.hold()
    void all[0].reload()
    const fresh = await code.held(2)
    const broker = brokerOf(fresh) as number
    await all[0].end()
    await ended(fresh)
    await ended(broker)
    expect(await all[1].pid()).toBe(pid)
    expect(await all[1].types()).toEqual(loaded)
    code.release()
    await reload(all[1])
    await together([all[1]], pid)
    await code.end([all[1]])
  })

  test('that dies while the others come to it is followed by one for all', async () => {
    const code = new Code(from)
    const all = [host(), host(), host()] as const
    for (let round = 0; round < 5; round++) {
      const pid = await code.loadAll(all)
      await reload(all[0])
      const fresh = (await all[0].pid()) as number
      process.kill(fresh, 'SIGKILL')
      await together(all, pid, fresh)
      for (const one of all) expect(await one.call('inits')).toBe(1)
      await code.end(all)
    }
  })

  test('that dies while a new one is started is followed by it, and no host is without', async () => {
    const code = new Code(from)
    const all = [host(), host()] as const
    const pid = await code.loadAll(all)
    code.hold()
    const loading = reload(all[0])
    await code.held(2)
    code.letGo()
    process.kill(pid, 'SIGKILL')
    await loading
    await together(all, pid)
    await until(() => code.pids.filter(isAlive).length === 1)
    await together(all, pid)
    await code.end(all)
  })

  test('with several instances is loaded anew in all of them, for all hosts', async () => {
    const code = new Code(from, { instances: 2 })
    const all = [host(), host()] as const
    await code.loadAll(all)
    await Promise.all(all.map((one) => one.flood()))
    const before = code.pids
    expect(before.length).toBe(2)
    await reload(all[0])
    await until(async () => (await all[1].reloads()) === 1)
    for (const pid of before) await ended(pid)
    expect(code.pids.length).toBe(4)
    for (const one of all) {
      expect((await one.told('ready')).slice(2).sort()).toEqual(code.pids.slice(2).sort())
      expect((await one.types()).at(-1)).toBe('reloaded')
      expect(await one.calm()).toMatchObject({ wrong: 0, codes: [] })
    }
    await code.end(all)
  })

  test('is started anew once for a change of its file, by the first of those who watch it', async () => {
    const code = new Code(from)
    const all = [host(), host(), host()] as const
    const options = { hotReload: true }
    const pid = (await code.load(all[0])) as number
    for (const one of all.slice(1)) await code.load(one, options)
    code.write()
    const second = await together(all, pid)
    expect(code.pids).toEqual([pid, second])
    code.write()
    const third = await together(all, pid, second)
    // The first one that watches is not able to act any more when the code changes: the next one does, once that has left.
    process.kill(all[1].hostPid, 'SIGSTOP')
    code.write()
    await all[1].end('SIGKILL')
    const rest = [all[0], all[2]]
    const fourth = await together(rest, pid, second, third)
    await until(() => code.pids.filter(isAlive).length === 1)
    expect(code.pids).toEqual([pid, second, third, fourth])
    for (const one of rest) expect(await one.reloads()).toBe(3)
    await code.end(rest)
    expect(code.pids.length).toBe(4)
  })

  test('is not started anew for a change that it knows, when the host leaves that has acted on it', async () => {
    const code = new Code(from)
    const all = [host(), host()] as const
    const options = { hotReload: true }
    const pid = (await code.load(all[0], options)) as number
    await code.load(all[1], options)
    code.write()
    const second = await together(all, pid)
    await all[0].unload()
    // Who comes later is welcomed after the other one was told that it is the first now.
    const later = host()
    expect(await code.load(later)).toBe(second)
    expect(await all[1].types()).toEqual(reloaded)
    code.fail(true)
    code.write()
    await until(async () => (await all[1].types()).includes('reload-failed'))
    expect(await all[1].types()).toEqual([...reloaded, 'starting', 'reload-failed'])
    expect(code.pids.slice(0, 2)).toEqual([pid, second])
    await code.end([all[1], later])
    expect(code.pids.length).toBe(3)
  })

  test('that cannot be had leaves a host where it is, which says so and comes along with the next change', async () => {
    const code = new Code(from)
    const all = [host(), host()] as const
    const pid = await code.loadAll(all, { hotReload: true })
    const broker = brokerOf(pid) as number
    // It hears of the new one when that is gone, and what is to come in its place fails.
    process.kill(all[1].hostPid, 'SIGSTOP')
    await reload(all[0])
    code.fail(true)
    await all[0].unload()
    await ended(code.pids[1] as number)
    process.kill(all[1].hostPid, 'SIGCONT')
    await until(async () => (await all[1].types()).at(-1) === 'reload-failed')
    expect((await all[1].types()).filter((type) => type === 'starting').length).toBe(4)
    expect(await all[1].pid()).toBe(pid)
    expect(await all[1].call('inits')).toBe(1)
    code.fail(false)
    code.write()
    const last = await together([all[1]], pid)
    expect((await all[1].types()).at(-1)).toBe('reloaded')
    await ended(broker)
    expect(await code.load(all[0])).toBe(last)
    await code.end(all)
  })

  test('may be unloaded at any time of its reload', async () => {
    const code = new Code(from)
    const all = [host(), host()] as const
    await code.load(all[0])
    for (const turns of [0, 1, 2, 5, 10, 20, 40, 80, 160, 320]) {
      await code.load(all[1])
      const loading = all[1].reload()
      await questions(all[1], turns)
      await all[1].unload()
      const { code: why } = await loading
      expect([undefined, 'init-failed', 'unloaded']).toContain(why)
      await until(() => code.pids.filter(isAlive).length === 1)
    }
    await code.end(all)
  })
})

// It takes as long as a host waits for a broker, which has no part in what language its guest speaks.
test('a guest whose broker does not answer is not replaced, and goes on', async () => {
  const code = new Code(rustGuest)
  const all = [host(), host()] as const
  const pid = await code.loadAll(all)
  const broker = brokerOf(pid) as number
  process.kill(broker, 'SIGSTOP')
  expect(await all[0].reload()).toMatchObject({
    code: 'init-failed',
    message: expect.stringContaining('the one that has it does not answer within 10000 ms'),
  })
  await ended(code.pids[1] as number)
  expect(await together(all)).toBe(pid)
  process.kill(broker, 'SIGCONT')
  await reload(all[1])
  await together(all, pid)
  await code.end(all)
})

describe('Python code', () => {
  const source = (version: number, more = ''): string => `def version():\n    return ${version}\n${more}\n`

  test('that is wrong changes nothing for any host, and what is right comes to all', async () => {
    const folder = temporaryFolder()
    const path = write(folder, 'guest.py', source(1))
    const all = [host(), thread()] as const
    const options = { shared: folder }
    for (const one of all) await one.load(`python:${path}`, options)
    const pid = (await all[0].pid()) as number
    for (const [more, words] of [
      ['def oops(:', 'SyntaxError'],
      ['raise RuntimeError("not yet")', 'not yet'],
      ['import os\nos._exit(3)', 'exited with code 3'],
    ] as const) {
      write(folder, 'guest.py', source(2, more))
      expect(await all[0].reload()).toMatchObject({ code: 'init-failed', message: expect.stringContaining(words) })
    }
    for (const one of all) expect(await one.call('version')).toBe(1)
    expect(await all[1].types()).toEqual(loaded)
    write(folder, 'guest.py', source(3))
    await reload(all[0])
    expect(await all[0].call('version')).toBe(3)
    const fresh = await together(all, pid)
    expect(await all[1].call('version')).toBe(3)
    await Promise.all(all.map((one) => one.unload()))
    for (const one of [pid, fresh]) await ended(one)
  })

  test('that changes to what is wrong is told to the host that acts, and mended for all', async () => {
    const folder = temporaryFolder()
    const path = write(folder, 'guest.py', source(1))
    const become = (version: number, more?: string): void =>
      renameSync(write(folder, 'fresh', source(version, more)), path)
    const all = [host(), host()] as const
    const options = { shared: folder, hotReload: true }
    for (const one of all) await one.load(`python:${path}`, options)
    become(2, 'raise RuntimeError("not yet")')
    await until(async () => (await all[0].types()).includes('reload-failed'))
    become(3)
    for (const one of all) await until(async () => (await one.call('version')) === 3)
    expect(await all[0].types()).toEqual([...loaded, 'starting', 'reload-failed', ...loaded, 'reloaded'])
    expect(await all[1].types()).toEqual(reloaded)
    const pid = await together(all)
    await Promise.all(all.map((one) => one.unload()))
    await ended(pid)
  })
})

test.each([
  ['a copy in a place', 60_000, 'Buffer.alloc(size)'],
  ['a copy of its own', 3_000_000, 'Buffer.alloc(size)'],
  ['memory of alloc', 300_000, 'guest.alloc(size)'],
])('what the old guest keeps of a host that has left it stays as it was: %s', async (_, size, alloc) => {
  const path = write(
    temporaryFolder(),
    'keeps.py',
    `kept = None

def keep(data):
    global kept
    kept = data

def reads(items):
    for _ in items:
        yield bytes(kept)

def length(data):
    return len(data)
`,
  )
  const source = `
    const { once } = await import('node:events')
    const { Worker } = await import('node:worker_threads')
    const size = ${size}
    const guest = await load(${JSON.stringify(`python:${path}`)}, { placement: 'process', shared: true })
    await guest.keep(${alloc}.fill(1))
    const other = new Worker(\`
      import { once } from 'node:events'
      import { parentPort } from 'node:worker_threads'
      import { load } from '${dist('index.js')}'
      const guest = await load(${JSON.stringify(`python:${path}`)}, { placement: 'process', shared: true })
      const stream = guest.duplex('reads')
      const reading = stream[Symbol.asyncIterator]()
      const read = async () => {
        await stream.write(1)
        const { value } = await reading.next()
        return value.length === \${size} && value.every((byte) => byte === 1)
      }
      parentPort.postMessage(await read())
      await once(parentPort, 'message')
      parentPort.postMessage(await read())
      stream.end()
      await reading.next()
      await guest.unload()
    \`, { eval: true, execArgv: ['--input-type=module'] })
    say((await once(other, 'message'))[0])
    await guest.reload()
    while (guest.stats().instances.length > 1) await turns(1)
    for (let i = 0; i < 4; i++) { await turns(3); gc() }
    // The new guest is sent others.
    await Promise.all(Array.from({ length: 50 }, () => guest.length(${alloc}.fill(2))))
    // What a thread has said last and its end may come at once.
    const ended = once(other, 'exit')
    other.postMessage('again')
    say((await once(other, 'message'))[0])
    await ended
    await guest.unload()
  `
  expect(await said(source, { node: ['--expose-gc'] })).toEqual([true, true])
})
