// SPDX-License-Identifier: Apache-2.0
// Deaths, unloads, reloads, starts and calls at the same time: every promise settles, and nothing waits for what will not
// come. hosts/node/src/runtime/schedules.fuzz.test.ts has them in any order.
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { RuntimeEvent } from '../../src/common/events.ts'
import type { LoadOptions } from '../../src/common/options.ts'
import { load } from '../../src/runtime/load.ts'
import { isSettled, rejection, until } from '../support/calls.ts'
import { said } from '../support/child.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { python, rust } from '../support/paths.ts'
import { childrenOf, descriptors, ended, isAlive } from '../support/processes.ts'
import { startWatched as start, types, type Watched } from '../support/watched.ts'

const hour = 3_600_000
const one = Buffer.from('one')
/** Both read the pipe of `waitsAt` in their `init`, if it is there. */
const languages = [rust, python('streams')]

/** A named pipe, which holds up whoever reads it. */
class Pipe {
  readonly path = join(temporaryFolder(), 'pipe')

  make(): this {
    execFileSync('mkfifo', [this.path])
    return this
  }

  /** Waits until somebody reads it. What this returns lets the reader go on. */
  async read(): Promise<() => void> {
    let file: number | undefined
    await until(() => {
      try {
        file = openSync(this.path, constants.O_WRONLY | constants.O_NONBLOCK)
      } catch {
        // Nobody reads it yet.
      }
      return file !== undefined
    })
    return () => closeSync(file as number)
  }
}

/** Kills the instance that has the one call in flight. */
function killBusy(guest: Watched): void {
  const busy = guest.stats().instances.find(({ inFlight }) => inFlight > 0)
  process.kill(busy?.pid as number, 'SIGKILL')
}

/** A call that does not end, once it is in flight. */
async function busy(guest: Watched): Promise<{ readonly call: Promise<unknown> }> {
  const call = guest.methods.some(({ name }) => name === 'sleep_ms')
    ? guest.call('sleep_ms', [hour])
    : guest.call('sleep_async', [hour / 1000])
  call.catch(() => {})
  await until(() => guest.stats().inFlight > 0)
  // In an object: a promise that is returned as it is would be waited for.
  return { call }
}

describe('an instance that dies', () => {
  test('lets an unload come to its end, beside another instance', async () => {
    const guest = await start(rust, { instances: 2, restart: false })
    const { call } = await busy(guest)
    const unloading = guest.unload()
    killBusy(guest)
    await rejection(call, 'guest-crashed')
    await unloading
    expect(guest.stats()).toMatchObject({ inFlight: 0, queued: 0, bytesInFlight: 0 })
  })

  test('lets an unload come to its end that came with a reload, and the next load start', async () => {
    const guest = await start(rust, { restart: false })
    const { call } = await busy(guest)
    const pid = guest.pid()
    const [reloading, unloading] = [guest.reload(), guest.unload()]
    await reloading
    process.kill(pid, 'SIGKILL')
    await rejection(call, 'guest-crashed')
    await unloading
    const next = await start(rust)
    expect(await next.call('echo', [one])).toEqual(one)
    await next.unload()
  })

  test.each([false, { attempts: 5, minDelay: hour, maxDelay: hour }] as const)(
    'leaves its places to calls that wait beside one that is ready, with restart: %j',
    async (restart) => {
      const guest = await start(rust, { instances: 2, maxCalls: 1, restart })
      // The first restart is at once.
      const deaths = restart === false ? 1 : 2
      for (let death = 0; death < deaths; death++) {
        const { call } = await busy(guest)
        const waiting = guest.call('echo', [one])
        expect(guest.stats().queued).toBe(1)
        killBusy(guest)
        await rejection(call, 'guest-crashed')
        expect(await waiting).toEqual(one)
        if (death + 1 < deaths) await until(() => types(guest).filter((type) => type === 'restarted').length > death)
      }
      await guest.unload()
    },
  )
})

describe('calls that were rejected while they waited', () => {
  test.each(['thread', 'process'] as const)('are in the queue no more, %s', async (placement) => {
    const guest = await start(rust, { placement, maxCalls: 1 })
    const first = guest.call('sleep_ms', [300])
    const abort = new AbortController()
    const waiting = Array.from({ length: 1000 }, () =>
      guest
        .call('echo', [Buffer.alloc(20_000)], { signal: abort.signal })
        .catch((error: { code: string }) => error.code),
    )
    expect(guest.stats().queued).toBe(1000)
    abort.abort()
    expect(guest.stats()).toMatchObject({ queued: 0, inFlight: 1 })
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['cancelled']))
    await first
    await guest.unload()
  })
})

describe('a start that hangs', () => {
  test.each(languages)('rejects a load with a timeout, and is ended, %s', async (locator) => {
    const { path } = new Pipe().make()
    const events: RuntimeEvent[] = []
    const before = childrenOf(process.pid)
    const onEvent = (event: RuntimeEvent): void => void events.push(event)
    const options: LoadOptions = { placement: 'process', config: { waitsAt: path }, onEvent }
    await rejection(load(locator, { ...options, timeout: 300 }), 'deadline', 'has not started within 300 ms')
    const [begun, hung] = ['starting', 'hung'].map((type) => events.find((event) => event.type === type))
    expect(hung).toMatchObject({ pid: begun?.pid, error: { code: 'deadline' } })
    await until(() => childrenOf(process.pid).every((pid) => before.includes(pid)))
    // The next load is another start.
    rmSync(path)
    const guest = await load(locator, options)
    await guest.unload()
  })

  test.each(languages)('rejects a load with a signal on threads, which go on, %s', async (locator) => {
    const pipe = new Pipe().make()
    const abort = new AbortController()
    const loading = load(locator, { config: { waitsAt: pipe.path }, signal: abort.signal })
    loading.catch(() => {})
    const release = await pipe.read()
    abort.abort()
    await rejection(loading, 'cancelled', 'load it again')
    release()
  })

  test('does not keep a program whose load was given up, on threads, nor does a call after an unload', async () => {
    const pipe = new Pipe().make()
    const hangs = write(temporaryFolder(), 'hangs.py', `open(${JSON.stringify(pipe.path)}).read()\n`)
    const reads = write(temporaryFolder(), 'reads.py', 'def read(path):\n    return open(path).read()\n')
    expect(await said(`say(await outcome(load('python:${hangs}', { placement: 'thread', timeout: 2000 })))`)).toEqual([
      ['rejected', 'deadline', expect.stringContaining('2000 ms')],
    ])
    const source = `
      const guest = await load('python:${reads}', { placement: 'thread' })
      const call = outcome(guest.read(${JSON.stringify(pipe.path)}))
      say((await outcome(guest.unload({ timeout: 100 })))[1])
      say((await call)[1])`
    expect(await said(source)).toEqual(['deadline', 'unloaded'])
  })

  test('rejects a load with a timeout on threads', async () => {
    const pipe = new Pipe().make()
    await rejection(load(rust, { config: { waitsAt: pipe.path }, timeout: 300 }), 'deadline')
    const release = await pipe.read()
    release()
  })

  test('has what is left of the timeout, if another guest had to end before', async () => {
    const pipe = new Pipe()
    const options: LoadOptions = { config: { waitsAt: pipe.path }, restart: false }
    const before = await start(rust, options)
    const { call } = await busy(before)
    const unloading = before.unload()
    pipe.make()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const loading = load(rust, { placement: 'process', ...options, timeout: 1000 })
    loading.catch(() => {})
    vi.advanceTimersByTime(900)
    killBusy(before)
    await rejection(call, 'guest-crashed')
    await unloading
    const release = await pipe.read()
    vi.advanceTimersByTime(100)
    await rejection(loading, 'deadline', 'within 1000 ms')
    release()
  })

  test('is ended by the last of its callers, and not by another', async () => {
    const pipe = new Pipe().make()
    const options: LoadOptions = { placement: 'process', config: { waitsAt: pipe.path } }
    const [first, second] = [new AbortController(), new AbortController()]
    const loads = [first, second].map(({ signal }) => load(rust, { ...options, signal }))
    for (const loading of loads) loading.catch(() => {})
    const release = await pipe.read()
    first.abort(new Error('mine'))
    const error = await rejection(loads[0] as Promise<unknown>, 'cancelled')
    expect(error.cause).toEqual(new Error('mine'))
    release()
    const guest = await (loads[1] as (typeof loads)[0])
    second.abort()
    expect(await guest.call('echo', [one])).toEqual(one)
    await guest.unload()
    await rejection(load(rust, { ...options, signal: AbortSignal.abort() }), 'cancelled')
  })

  test.each(languages)('again is told, killed if the option says so, and counts as a death, %s', async (locator) => {
    const pipe = new Pipe()
    const options: LoadOptions = { whenHung: 'kill', restart: { attempts: 2, minDelay: 1, timeout: 200 } }
    const guest = await start(locator, options, { waitsAt: pipe.path })
    pipe.make()
    process.kill(guest.pid(), 'SIGKILL')
    await until(() => types(guest).includes('crashed'))
    await rejection(guest.call('echo', [one]), 'guest-crashed', 'restart.timeout')
    const wanted = ['crashed', 'starting', 'hung', 'crashed', 'starting', 'hung', 'crashed', 'gave-up']
    expect(types(guest).slice(2)).toEqual(wanted)
    await guest.unload()
  })

  test('with new code is told, and the old guest goes on', async () => {
    const pipe = new Pipe()
    const guest = await start(rust, { restart: { timeout: 100 } }, { waitsAt: pipe.path })
    pipe.make()
    const reloading = guest.reload()
    await until(() => types(guest).includes('hung'))
    expect(await guest.call('echo', [one])).toEqual(one)
    const release = await pipe.read()
    release()
    await reloading
    await guest.unload()
  })
})

describe('a reload that hangs', () => {
  const ways = languages.flatMap((locator) =>
    (['thread', 'process'] as const).map((placement) => ({ locator, placement })),
  )

  test.each(ways)('rejects with its timeout, and the old code goes on, $locator $placement', async (way) => {
    const pipe = new Pipe()
    const guest = await start(way.locator, { placement: way.placement }, { waitsAt: pipe.path })
    const pid = guest.pid()
    pipe.make()
    await rejection(guest.reload({ timeout: 200 }), 'deadline', 'has not been reloaded within 200 ms')
    const told = guest.events.slice(2).map(({ type, error }) => [type, error?.code])
    expect(told).toEqual([
      ['starting', undefined],
      ['hung', 'deadline'],
      ['reload-failed', 'deadline'],
    ])
    if (way.placement === 'process') {
      const [fresh] = guest.events.slice(2).map(({ pid }) => pid)
      expect(guest.events.find(({ type }) => type === 'hung')?.pid).toBe(fresh)
      await ended(fresh as number)
    } else (await pipe.read())()
    expect(await guest.call('echo', [one])).toEqual(one)
    // Another may be had.
    rmSync(pipe.path)
    await guest.reload({ timeout: hour })
    expect(guest.stats().reloads).toBe(1)
    expect(guest.pid() === pid).toBe(way.placement === 'thread')
    await guest.unload()
  })

  test("is cancelled by the signal of the last who waits for it, and is no other caller's then", async () => {
    const pipe = new Pipe()
    const guest = await start(rust, {}, { waitsAt: pipe.path })
    pipe.make()
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()]
    const [begun, next, last] = [first, second, third].map(({ signal }) => guest.reload({ signal }))
    await until(() => types(guest).at(-1) === 'starting')
    const cause = new Error('mine')
    second.abort(cause)
    expect((await rejection(next as Promise<void>, 'cancelled', 'the reload of')).cause).toBe(cause)
    third.abort()
    await rejection(last as Promise<void>, 'cancelled')
    const again = guest.reload()
    first.abort()
    await rejection(begun as Promise<void>, 'cancelled', 'the old code goes on')
    rmSync(pipe.path)
    await again
    expect(types(guest).slice(2)).toEqual(['starting', 'reload-failed', 'starting', 'ready', 'reloaded'])
    await rejection(guest.reload({ signal: AbortSignal.abort() }), 'cancelled')
    await guest.unload()
  })
})

describe('a guest that was given up', () => {
  test('says how it is started again, and is by a reload', async () => {
    const pipe = new Pipe()
    const restart = { attempts: 1, minDelay: 1, timeout: 100 }
    const guest = await start(rust, { restart, whenHung: 'kill' }, { waitsAt: pipe.path })
    pipe.make()
    process.kill(guest.pid(), 'SIGKILL')
    await until(() => types(guest).includes('gave-up'))
    const words = ['2 times in a row', 'not started again but by reload() or load()', 'restart.timeout']
    await rejection(guest.call('echo', [one]), 'guest-crashed', ...words)
    await rejection(guest.reload(), 'init-failed', 'restart.timeout')
    rmSync(pipe.path)
    await guest.reload()
    expect(await guest.call('echo', [one])).toEqual(one)
    process.kill(guest.pid(), 'SIGKILL')
    await until(() => types(guest).at(-1) === 'restarted')
    await guest.unload()
  })
})

describe('an unload', () => {
  test('with a timeout rejects calls that have not ended, and kills the process', async () => {
    for (const locator of languages) {
      const guest = await start(locator, { maxCalls: 1 })
      const { call } = await busy(guest)
      const waiting = guest.call('echo', [one])
      const unloading = guest.unload()
      expect(await isSettled(unloading)).toBe(false)
      await Promise.all([
        rejection(call, 'unloaded', 'timeout of unload'),
        rejection(waiting, 'unloaded'),
        guest.unload({ timeout: 50 }),
      ])
      await unloading
      expect(isAlive(guest.pid())).toBe(false)
      expect(types(guest)).not.toContain('crashed')
      expect(guest.stats()).toMatchObject({ inFlight: 0, queued: 0 })
    }
  })

  test('with a timeout settles on threads, too, and the guest ends when it returns', async () => {
    const pipe = new Pipe().make()
    const file = write(temporaryFolder(), 'reads.py', 'def read(path):\n    return open(path).read()\n')
    const guest = await load(`python:${file}`, { placement: 'thread' })
    const call = guest.call('read', [pipe.path])
    call.catch(() => {})
    const release = await pipe.read()
    await rejection(guest.unload({ timeout: 50 }), 'deadline', 'threads cannot be ended')
    await rejection(call, 'unloaded')
    release()
    const again = await load(`python:${file}`, { placement: 'thread' })
    await again.unload()
  })

  test('with a timeout leaves a shared guest at once, which ends if nobody else has it', async () => {
    const guest = await start(python('lives'), { shared: true, drainTimeout: hour })
    const pid = guest.pid()
    const call = guest.call('wait', [hour / 1000])
    call.catch(() => {})
    await until(() => guest.stats().inFlight > 0)
    await guest.unload({ timeout: 50 })
    await rejection(call, 'unloaded')
    await ended(pid)
  })

  test('does not wait for calls that were given up for longer than drainTimeout', async () => {
    const guest = await start(rust, { drainTimeout: 100 })
    const abort = new AbortController()
    const call = guest.call('sleep_ms', [hour], { signal: abort.signal })
    await until(() => guest.stats().inFlight > 0)
    abort.abort()
    await rejection(call, 'cancelled')
    await guest.unload()
    await ended(guest.pid())
    expect(types(guest)).toEqual(['starting', 'ready'])
    expect(guest.stats().inFlight).toBe(0)
  })

  test.each([1, 2])('lets nothing start after it: reloads of %d that wait their turn reject', async (instances) => {
    await (await start(rust, { instances })).unload()
    const before = descriptors()
    const guest = await start(rust, { instances })
    const starts = (): number => types(guest).filter((type) => type === 'starting').length
    const reloads = [guest.reload(), guest.reload()]
    const unloading = guest.unload()
    for (const reload of reloads) await rejection(reload, 'unloaded')
    await unloading
    // The first reload was under way, with its first instance.
    expect(starts()).toBeLessThanOrEqual(instances + 1)
    const told = guest.events.length
    await rejection(guest.reload(), 'unloaded')
    await until(() => descriptors().length <= before.length)
    expect(guest.events.length).toBe(told)
  })

  test('takes a timeout, and nothing else', async () => {
    const guest = await start(rust)
    await rejection(guest.unload({ timeout: -1 }), 'invalid-argument', 'timeout')
    await rejection(guest.unload(5 as never), 'invalid-argument', '{ timeout }')
    await guest.unload({ timeout: 10_000 })
  })
})
