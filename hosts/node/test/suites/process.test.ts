// SPDX-License-Identifier: Apache-2.0
// Guests in processes of their own: how they live, die, and are started anew.
import { chmodSync, existsSync, mkdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { load } from '../../src/runtime/load.ts'
import { callAfterClosing, rejection, until } from '../support/calls.ts'
import { cGuests, emptyVenv, temporaryFolder, write } from '../support/folders.ts'
import { python, rust } from '../support/paths.ts'
import { childrenOf, descriptors, ended, groupOf, isAlive, parentOf, sessionOf } from '../support/processes.ts'
import { after } from '../support/time.ts'
import { startWatched as start, types } from '../support/watched.ts'

const [one, two] = [Buffer.from('one'), Buffer.from('two')]

const lives = python('lives')

describe('a guest in a process of its own', () => {
  test('is the child of a guard that the host has started, in a group of its own, and ends with the unload', async () => {
    const before = descriptors()
    for (const locator of [rust, lives]) {
      const guest = await start(locator)
      const pid = guest.pid()
      expect(pid).not.toBe(process.pid)
      expect(childrenOf(process.pid)).toEqual([parentOf(pid)])
      expect(groupOf(pid)).toBe(pid)
      // What is typed at the host's terminal does not reach it.
      expect(sessionOf(pid)).toBe(parentOf(pid))
      if (locator === lives) expect(await guest.call('pid')).toBe(pid)
      expect(types(guest)).toEqual(['starting', 'ready'])
      await guest.unload()
      expect(isAlive(pid)).toBe(false)
      expect(guest.stats().instances).toEqual([{ pid, state: 'ready', inFlight: 0 }])
      await rejection(guest.call('echo', [1]), 'unloaded')
    }
    await until(() => descriptors().length <= before.length)
    expect(descriptors()).toEqual(before)
  })

  test('is what Python has if nothing else is said; Rust lives on threads', async () => {
    const [own, threads] = [await load(lives, { config: 'usual' }), await load(rust, { config: 'usual' })]
    const pids = [own, threads].map((guest) => guest.stats().instances[0]?.pid)
    expect(pids).toEqual([await own.call('pid'), undefined])
    expect(pids[0]).not.toBe(process.pid)
    const here = await load(lives, { config: 'here', placement: 'thread' })
    expect(await here.call('pid')).toBe(process.pid)
    await Promise.all([own, threads, here].map((guest) => guest.unload()))
  })

  test('is one of several, each with a process', async () => {
    const guests = await Promise.all([start(rust), start(lives)])
    expect(new Set(guests.map((guest) => guest.pid())).size).toBe(2)
    const answers = await Promise.all(guests.flatMap((guest) => [guest.call('echo', [one]), guest.call('echo', [two])]))
    expect(answers).toEqual([one, two, one, two])
    await Promise.all(guests.map((guest) => guest.unload()))
  })

  test('gets the interpreter of its virtual environment', async () => {
    const venv = emptyVenv()
    const guest = await start(lives, { venv })
    expect(guest.info).toMatchObject({ prefix: venv })
    await guest.unload()
  })

  test('prints whole lines, on either stream, before its answer is settled or its end is told', async () => {
    const guest = await start(lives)
    await guest.call('say', ['one\ntwo'])
    await until(() => guest.lines.length === 2)
    expect(guest.lines).toEqual(['one\n', 'two\n'])
    await guest.unload()
  })

  test('hands no descriptor of the host on to programs that it starts', async () => {
    const guest = await start(lives)
    const files = (await guest.call('descriptors')) as string[]
    // What this process itself has inherited from outside is not the host's.
    const bell = readlinkSync(`/proc/${guest.pid()}/fd/6`)
    expect(bell).toContain('pipe:')
    expect(files.filter((file) => /memfd|socket/.test(file) || file === bell)).toEqual([])
    await guest.unload()
  })

  test('gives copies of bytes where the option says so, and views otherwise', async () => {
    for (const copyBytes of [false, true]) {
      const guest = await start(rust, { copyBytes })
      const bytes = (await guest.call('echo', [Buffer.alloc(5000, 7)])) as Buffer
      expect(bytes).toEqual(Buffer.alloc(5000, 7))
      // A view is of a slab, of 128 KB at least.
      expect(bytes.buffer.byteLength >= 2 ** 17).toBe(!copyBytes)
      await guest.unload()
    }
  })

  test('finishes calls in flight and runs its own ending before the unload resolves', async () => {
    const guest = await start(lives, {}, { at_end: 'the very end' })
    const call = guest.call('wait', [0.3])
    await guest.unload()
    expect(await call).toBe('waited')
    expect(guest.lines).toEqual(['the very end\n'])
  })

  test('that does not end is ended after drainTimeout', async () => {
    const guest = await start(lives, { drainTimeout: 100 }, { linger: 1000 })
    const pid = guest.pid()
    await guest.unload()
    expect(isAlive(pid)).toBe(false)
    expect(types(guest)).toEqual(['starting', 'ready'])
  })

  test('that waits for a thread of its own says for which one', async () => {
    const folder = temporaryFolder()
    const fifo = join(folder, 'end')
    const source = `
import os, threading
os.mkfifo(${JSON.stringify(fifo)})
threading.Thread(target=lambda: open(${JSON.stringify(fifo)}).close(), name='collector').start()
def f(): pass
`
    const guest = await start(`python:${write(folder, 'waits.py', source)}`)
    const unloaded = guest.unload()
    await until(() => guest.lines.length > 0)
    expect(guest.lines.join('')).toMatch(/waits for the thread 'collector': .*daemon.*drainTimeout\n$/)
    writeFileSync(fifo, '')
    await unloaded
    expect(types(guest).at(-1)).not.toBe('crashed')
  })

  test('takes what it started in its group with it', async () => {
    const guest = await start(lives)
    const sleeper = (await guest.call('start_sleeper')) as number
    expect(isAlive(sleeper)).toBe(true)
    process.kill(guest.pid(), 'SIGKILL')
    await ended(sleeper)
    await guest.unload()
  })
})

describe('a guest whose guard', () => {
  test('is killed dies with it, and is started again', async () => {
    const guest = await start(lives)
    const pid = guest.pid()
    process.kill(parentOf(pid) as number, 'SIGKILL')
    await ended(pid)
    await until(() => types(guest).includes('restarted'))
    expect(await guest.call('echo', [1])).toBe(1)
    await guest.unload()
  })

  test('is stopped is ended all the same', async () => {
    const guest = await start(lives, { drainTimeout: 10 })
    const pid = guest.pid()
    const guard = parentOf(pid) as number
    process.kill(guard, 'SIGSTOP')
    await guest.unload()
    await Promise.all([ended(pid), ended(guard)])
  })
})

describe('a guest that hangs up', () => {
  test('and lives on as another program is ended', async () => {
    const guest = await start(lives, { restart: false })
    const pid = guest.pid()
    const call = after(2_000, () => guest.call('become_another_program'))
    const error = await rejection(call, 'guest-crashed', 'has hung up', 'runs another program', 'SIGKILL')
    expect(error.exit?.signal).toBe('SIGKILL')
    await ended(pid)
    await guest.unload()
  })

  test('by closing what it has not opened ends, and says so', async () => {
    const guest = await start(lives, { restart: false, spin: false })
    await rejection(callAfterClosing(guest), 'guest-crashed', 'SIGKILL', 'closed a descriptor')
    await guest.unload()
  })

  test('because it has died, while its guard is stopped, says how it has died', async () => {
    const guest = await start(lives, { restart: false })
    const guard = parentOf(guest.pid()) as number
    process.kill(guard, 'SIGSTOP')
    const call = after(2_000, () => guest.call('kill', [11]))
    await rejection(call, 'guest-crashed', 'was killed by SIGSEGV')
    await ended(guard)
    await guest.unload()
  })
})

describe('a guest that dies', () => {
  test.each([
    [11, 'SIGSEGV'],
    [6, 'SIGABRT'],
    [15, 'SIGTERM'],
  ])('by signal %i says %s', async (signal, name) => {
    const guest = await start(lives)
    const error = await rejection(guest.call('kill', [signal]), 'guest-crashed', name)
    expect(error.exit?.signal).toBe(name)
    await guest.unload()
  })

  test('keeps calls waiting no longer than their deadlines', async () => {
    const guest = await start(lives, { restart: { minDelay: 60_000, maxDelay: 60_000 } })
    for (const round of [1, 2]) {
      process.kill(guest.pid(), 'SIGKILL')
      await until(() => guest.events.filter(({ type }) => type === 'crashed').length === round)
      if (round === 1) await guest.call('echo', [1])
    }
    // The second restart is a minute away.
    await rejection(guest.call('echo', [1], { deadline: Date.now() + 50 }), 'deadline')
    const controller = new AbortController()
    const call = guest.call('echo', [1], { signal: controller.signal })
    controller.abort()
    await rejection(call, 'cancelled')
    expect(guest.stats()).toMatchObject({ inFlight: 0, restarts: 1 })
    await guest.unload()
  })

  test('is given up after so many deaths in a row; what waits and what comes is rejected, and it can be loaded again', async () => {
    const config = { test: 'dies at once' }
    const guest = await start(lives, { config, restart: { attempts: 3, minDelay: 1 } })
    for (let death = 0; death < 4; death++) {
      await rejection(guest.call('kill', [9]), 'guest-crashed', 'SIGKILL')
    }
    await rejection(guest.call('echo', [1]), 'guest-crashed', '4 times in a row, and is not started again')
    expect(types(guest).filter((type) => type === 'crashed').length).toBe(4)
    expect(types(guest).at(-1)).toBe('gave-up')
    await until(() => childrenOf(process.pid).length === 0)
    const again = await start(lives, { config })
    expect(await again.call('echo', [1])).toBe(1)
    await again.unload()
  })

  test('soon after each start is no storm of processes: each restart comes later, and the last is the last', async () => {
    const began = performance.now()
    const guest = await start(lives, { restart: { attempts: 4, minDelay: 50, maxDelay: 100 } }, { die_soon: 3 })
    await until(() => types(guest).includes('gave-up'))
    // At once, 50, 100 and 100 ms: no sooner, whatever the machine.
    expect(performance.now() - began).toBeGreaterThan(250)
    expect(types(guest).filter((type) => type === 'starting').length).toBe(5)
    await rejection(guest.call('echo', [1]), 'guest-crashed', 'code 3')
    await guest.unload()
  })
})

describe('a guest that hangs', () => {
  test('is not one that is busy', async () => {
    const guest = await start(lives, { heartbeat: 2000, whenHung: 'kill' })
    await Promise.all(Array.from({ length: 8 }, () => guest.call('spin', [2_000_000])))
    expect(types(guest)).toEqual(['starting', 'ready'])
    await guest.unload()
  })
})

describe('several instances', () => {
  test('share the calls, the least loaded first', async () => {
    const guest = await start(lives, { instances: 2 })
    expect(guest.stats().instances.map(({ state }) => state)).toEqual(['ready', 'ready'])
    const busy = guest.call('wait', [0.5])
    const pids = (await Promise.all(Array.from({ length: 3 }, () => guest.call('pid')))) as number[]
    const [first, second] = guest.stats().instances
    const other = [first, second].find((instance) => instance?.inFlight === 0)
    // The busy one gets none while the other has none.
    expect(await guest.call('pid')).toBe(other?.pid)
    expect(pids).toContain(other?.pid)
    await busy
    const many = (await Promise.all(Array.from({ length: 100 }, () => guest.call('pid')))) as number[]
    expect(new Set(many)).toEqual(new Set([first?.pid, second?.pid]))
    await guest.unload()
  })

  test('where one does not start none stays', async () => {
    await rejection(start(lives, { instances: 3 }, { exit: 4 }), 'init-failed')
    await until(() => childrenOf(process.pid).length === 0)
  })
})

describe('a process that cannot be had', () => {
  const folder = temporaryFolder()
  const plain = write(folder, 'plain', 'no program\n')

  test.each([
    ['no-python-of-this-name', 'not-found', "there is no program 'no-python-of-this-name'"],
    ['./no/python3', 'not-found', 'there is no program'],
    [plain, 'init-failed', 'Permission denied'],
    [folder, 'init-failed', 'Permission denied'],
    ['/bin/true', 'init-failed', 'exited with code 0 while it started'],
    ['/bin/false', 'init-failed', 'exited with code 1 while it started'],
  ] as const)('%s: %s', async (program, code, words) => {
    await start(rust).then((guest) => guest.unload())
    const before = descriptors().length
    await rejection(start(lives, { python: program }), code, words)
    await until(() => childrenOf(process.pid).length === 0)
    await until(() => descriptors().length <= before)
  })

  test('a program that is none of this machine: init-failed', async () => {
    const program = write(folder, 'strange', '\x7fELF is not enough\n')
    chmodSync(program, 0o755)
    await rejection(start(lives, { python: program }), 'init-failed')
  })

  test('a program that runs and never greets: init-failed, and it is ended', async () => {
    const load = after(20_000, () => start(lives, { python: '/usr/bin/yes' }))
    await rejection(load, 'init-failed', 'does not speak as', 'the option python or venv')
    await until(() => childrenOf(process.pid).length === 0)
  })

  test('a guest that leaves while it starts: init-failed, with its exit code and last lines', async () => {
    const error = await rejection(start(lives, {}, { exit: 5 }), 'init-failed', 'code 5', 'about to leave')
    expect(error.exit).toMatchObject({ code: 5, lines: ['about to leave'] })
  })

  test.each([
    ['missing.so', 'not-found'],
    ['not_a_guest', 'init-failed'],
    ['wrong_abi', 'init-failed'],
  ])('a library %s is refused as it is on threads', async (name, code) => {
    const c = cGuests()
    const path = name === 'missing.so' ? join(folder, name) : c(name)
    if (name !== 'missing.so' && !existsSync(path)) throw new Error(`${path} is missing`)
    await rejection(start(path), code as 'not-found')
  })

  test('a host that has no folder any more: said as it is', async () => {
    const gone = join(temporaryFolder(), 'gone')
    mkdirSync(gone)
    writeFileSync(join(gone, 'guest.py'), 'def f(): return 1\n')
    const guest = await start(`python:${join(gone, 'guest.py')}`)
    expect(await guest.call('f')).toBe(1)
    await guest.unload()
  })
})
