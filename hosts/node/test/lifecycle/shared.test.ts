// SPDX-License-Identifier: Apache-2.0
// One guest's process that serves several hosts: who is served, and what becomes of it when one of them ends.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { until } from '../support/calls.ts'
import { dist } from '../support/child.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { brokerOf, ended, isAlive } from '../support/processes.ts'
import { ask } from './child.ts'
import { host, type Outcome, type TestHost } from './hosts.ts'
import { livesGuest, rustGuest, streamsGuest } from './paths.ts'

const guests = [
  { language: 'Rust', guest: rustGuest, rounds: 50 },
  { language: 'Python', guest: streamsGuest, rounds: 25 },
]
const whole = { items: 500, last: 499, total: 499_500, upper: ['A', 'B', 'C'], code: 'cancelled', large: 2_000_000 }

let number = 0
/** What only the hosts of one test share. */
const fresh = (): { shared: string } => ({ shared: `of test ${++number} of ${process.pid}` })

/** Hosts of one guest, the process that serves them, and that one's broker. */
async function hosts(
  count: number,
  locator: string,
  options: object = fresh(),
): Promise<{ all: TestHost[]; pid: number; broker: number }> {
  const all = Array.from({ length: count }, host)
  const pids = await Promise.all(all.map((one) => one.load(locator, options)))
  expect(new Set(pids).size).toBe(1)
  const pid = pids[0] as number
  return { all, pid, broker: brokerOf(pid) as number }
}

/** Waits until nothing is left of a guest. */
async function gone({ pid, broker }: { pid: number; broker: number }): Promise<void> {
  await ended(pid)
  await ended(broker)
}

interface Seen {
  readonly pid: number
  readonly inits: number
}

describe.each(guests)('a $language guest', ({ guest, rounds }) => {
  test.each([
    ['the threads of a process', 'threads', 4],
    ['the workers of a cluster and their threads, and not its primary', 'cluster', 6],
  ])('serves %s from one process, initialised once', async (_, scenario, count) => {
    const seen = await ask<Seen[]>('shared', [scenario, guest])
    const [first] = seen
    expect(seen).toEqual(Array.from({ length: count }, () => ({ pid: first?.pid, inits: 1, seen: whole })))
    await ended(first?.pid as number)
  })

  test('is left by threads that are terminated at any time of their load', async () => {
    const { pid, same, open } = await ask<{ pid: number; same: boolean; open: number }>('shared', ['terminate', guest])
    expect(same).toBe(true)
    // Each place would be some descriptors.
    expect(open).toBeLessThan(80)
    await ended(pid)
  })

  test('serves processes that have nothing else in common than its name: calls, streams, contexts at once', async () => {
    const shared = await hosts(3, guest)
    const { all } = shared
    await Promise.all(all.map((one) => one.flood()))
    const seen = await Promise.all(all.flatMap((one) => [one.contract(), one.contract()]))
    expect(seen).toEqual(Array.from({ length: 6 }, () => whole))
    const tags = Array.from({ length: 60 }, (_, index) => `tag ${index}`)
    const contexts = await Promise.all(tags.map((tag, index) => all[index % 3]?.context(tag)))
    expect(contexts).toEqual(tags.map((tag) => ({ tag })))
    for (const one of all) {
      const { calls, wrong, codes } = await one.calm()
      expect({ wrong, codes }).toEqual({ wrong: 0, codes: [] })
      expect(calls).toBeGreaterThan(0)
      await one.unload()
    }
    await gone(shared)
  })

  test.each([
    ['that came first', 0],
    ['that came later', 2],
  ])('hears that a host %s was killed under load, and the others go on', async (_, index) => {
    const options = fresh()
    const first = host()
    const pid = (await first.load(guest, options)) as number
    const all = [first, host(), host()]
    for (const one of all.slice(1)) expect(await one.load(guest, options)).toBe(pid)
    const shared = { pid, broker: brokerOf(pid) as number }
    const victim = all[index] as TestHost
    const others = all.filter((one) => one !== victim)
    await victim.begin(8, 'sleep_async', 1_000_000_000)
    await Promise.all(all.map((one) => one.flood()))
    await until(async () => (await victim.flooded()) > 50 && (await victim.call('begun')) === 8)
    await victim.end('SIGKILL')
    await until(async () => (await others[0]?.call('dropped')) === 8)
    const before = await Promise.all(others.map((one) => one.flooded()))
    await until(async () => ((await others[0]?.flooded()) as number) > (before[0] as number) + 100)
    await until(async () => ((await others[1]?.flooded()) as number) > (before[1] as number) + 100)
    for (const one of others) {
      const { wrong, codes } = await one.calm()
      expect({ wrong, codes }).toEqual({ wrong: 0, codes: [] })
    }
    expect(await others[0]?.pid()).toBe(pid)
    // Its slot is free for another.
    const next = host()
    expect(await next.load(guest, options)).toBe(pid)
    expect(await next.contract()).toEqual(whole)
    await Promise.all([next, ...others].map((one) => one.unload()))
    await gone(shared)
  })

  test('that is killed rejects the calls of all hosts, with the signal, and all have one again', async () => {
    const shared = await hosts(3, guest)
    const { all, pid } = shared
    await Promise.all(all.map((one) => one.begin(4, 'sleep_async', 1_000_000_000)))
    await until(async () => (await all[0]?.call('begun')) === 12)
    process.kill(pid, 'SIGKILL')
    for (const outcomes of await Promise.all(all.map((one) => one.outcomes()))) {
      for (const { code, exit } of outcomes) expect([code, exit?.signal]).toEqual(['guest-crashed', 'SIGKILL'])
    }
    await gone(shared)
    const inits = await Promise.all(all.map((one) => one.call('inits')))
    expect(inits).toEqual([1, 1, 1])
    const pids = await Promise.all(all.map((one) => one.pid()))
    expect(new Set(pids).size).toBe(1)
    expect(pids[0]).not.toBe(pid)
    const next = { pid: pids[0] as number, broker: brokerOf(pids[0] as number) as number }
    for (const one of all) {
      expect(await one.types()).toEqual(['starting', 'ready', 'crashed', 'starting', 'restarted'])
      await one.unload()
    }
    await gone(next)
  })

  test('whose broker is killed goes with it, and all hosts have one again', async () => {
    const shared = await hosts(2, guest)
    const { all, broker } = shared
    await Promise.all(all.map((one) => one.begin(4, 'sleep_async', 1_000_000_000)))
    process.kill(broker, 'SIGKILL')
    for (const outcomes of await Promise.all(all.map((one) => one.outcomes()))) {
      for (const { code, message } of outcomes) {
        expect(code).toBe('guest-crashed')
        expect(message).toContain('has ended with its broker')
      }
    }
    await gone(shared)
    expect(await Promise.all(all.map((one) => one.call('inits')))).toEqual([1, 1])
    const pids = await Promise.all(all.map((one) => one.pid()))
    expect(new Set(pids).size).toBe(1)
    await Promise.all(all.map((one) => one.unload()))
    await ended(pids[0] as number)
  })

  test('goes on when a host unloads it, and ends with the last one; nothing is left open', async () => {
    const one = host()
    const before = await one.descriptors()
    const options = fresh()
    const pid = (await one.load(guest, options)) as number
    const shared = { pid, broker: brokerOf(pid) as number }
    const other = host()
    expect(await other.load(guest, options)).toBe(pid)
    await one.unload()
    await until(async () => (await one.descriptors()).length <= before.length)
    expect(await other.contract()).toEqual(whole)
    expect(isAlive(pid)).toBe(true)
    // It may come back.
    expect(await one.load(guest, options)).toBe(pid)
    await other.unload()
    expect(await one.contract()).toEqual(whole)
    await one.unload()
    await gone(shared)
    await until(async () => (await one.descriptors()).length <= before.length)
    expect(await one.descriptors()).toEqual(before)
  })

  test('goes with its hosts when all are killed, with calls in flight', async () => {
    const shared = await hosts(3, guest)
    await Promise.all(shared.all.map((one) => one.flood()))
    await Promise.all(shared.all.map((one) => one.end('SIGKILL')))
    await gone(shared)
  })

  test('goes with its hosts when they end by themselves', async () => {
    const shared = await hosts(2, guest)
    await shared.all[0]?.begin(2, 'sleep_async', 1_000_000_000)
    for (const one of shared.all) void one.exit()
    await gone(shared)
  })

  test('may be stopped while its hosts are killed', async () => {
    const shared = await hosts(2, guest, { ...fresh(), drainTimeout: 100 })
    process.kill(shared.pid, 'SIGSTOP')
    await Promise.all(shared.all.map((one) => one.end('SIGKILL')))
    await gone(shared)
  })

  test('is found, left and started anew by several hosts at once, again and again', async () => {
    const options = fresh()
    const all = Array.from({ length: 4 }, host)
    await Promise.all(all.map((one) => one.cycle(rounds, guest, options)))
    for (const one of all) expect(await one.descriptors()).toEqual(await (all[0] as TestHost).descriptors())
    const last = await hosts(2, guest, options)
    await Promise.all(last.all.map((one) => one.unload()))
    await gone(last)
  })

  test('is another one where options that it sees differ, where the name does, and for each instance', async () => {
    const options = fresh()
    const all = Array.from({ length: 4 }, host)
    const pids = await Promise.all([
      all[0]?.load(guest, options),
      all[1]?.load(guest, { ...options, maxPayload: 1_000_000 }),
      all[2]?.load(guest, fresh()),
      // What only the host sees is its own.
      all[3]?.load(guest, { ...options, maxCalls: 10, copyBytes: true }),
    ])
    expect(new Set(pids).size).toBe(3)
    expect(pids[3]).toBe(pids[0])
    await Promise.all(all.map((one) => one.unload()))
    await Promise.all(pids.map((pid) => ended(pid as number)))
  })
})

test('several instances are as many processes, for all hosts together', async () => {
  const options = { ...fresh(), instances: 2 }
  const all = [host(), host()]
  await Promise.all(all.map((one) => one.load(livesGuest, options)))
  const pids = new Set<unknown>()
  for (const one of all) {
    for (let call = 0; call < 4; call++) pids.add(await one.call('pid'))
  }
  expect(pids.size).toBe(2)
  await Promise.all(all.map((one) => one.unload()))
  for (const pid of pids) await ended(pid as number)
})

test('a guest that does not start fails the load of every host that waits for it', async () => {
  for (const [locator, config, words] of [
    [livesGuest, { exit: 5 }, 'exited with code 5 while it started'],
    [rustGuest, { fail: 'no licence' }, 'no licence'],
  ] as const) {
    const options = { ...fresh(), config }
    const all = Array.from({ length: 3 }, host)
    const outcomes = await Promise.all(all.map((one) => one.tryToLoad(locator, options)))
    for (const { code, message } of outcomes) {
      expect(code).toBe('init-failed')
      expect(message).toContain(words)
    }
  }
})

test('a guest that hangs is killed for one host, and so for all', async () => {
  const options = { ...fresh(), heartbeat: 300, whenHung: 'kill' }
  const { all, pid } = await hosts(2, livesGuest, options)
  await all[1]?.begin(1, 'wait', 1000)
  const hung = await all[0]?.outcome('hold_gil', 1000)
  expect(hung).toMatchObject({ code: 'guest-crashed', exit: { signal: 'SIGKILL' } })
  expect(await all[1]?.outcomes()).toMatchObject([{ code: 'guest-crashed', exit: { signal: 'SIGKILL' } }])
  const pids = await Promise.all(all.map((one) => one.call('pid')))
  expect(pids[0]).toBe(pids[1])
  expect(pids[0]).not.toBe(pid)
  await Promise.all(all.map((one) => one.unload()))
  await ended(pids[0] as number)
})

test('what the guest prints comes to one host, the first of those that are there', async () => {
  const options = fresh()
  const [first, second] = [host(), host()]
  const pid = (await first.load(livesGuest, options)) as number
  await second.load(livesGuest, options)
  await second.call('say', 'one\ntwo')
  await until(async () => (await first.printed()).length === 2)
  expect(await first.printed()).toEqual([`${pid}: one\n`, `${pid}: two\n`])
  await first.unload()
  await until(async () => {
    await second.call('say', 'three')
    return (await second.printed()).length > 0
  })
  expect(new Set(await second.printed())).toEqual(new Set([`${pid}: three\n`]))
  expect((await first.printed()).length).toBe(2)
  const { code, exit } = (await second.outcome('die', 7, 'farewell')) as Required<Outcome>
  expect(code).toBe('guest-crashed')
  expect(exit).toMatchObject({ code: 7, signal: null })
  expect(exit.lines).toContain('farewell, again')
  await second.unload()
})

test('what a guest does for hosts that were killed ends at once, however much time it would have to end', async () => {
  const day = 24 * 60 * 60 * 1000
  for (const [name, ...args] of [
    ['hold_gil', 86_400],
    ['wait', 86_400],
  ] as const) {
    const shared = await hosts(2, livesGuest, { ...fresh(), drainTimeout: day })
    await shared.all[0]?.begin(1, name, ...args)
    await Promise.all(shared.all.map((one) => one.end('SIGKILL')))
    await gone(shared)
  }
})

test('what ends a host with its group, its session or its children does not end the guest of all', async () => {
  const { all, pid, broker } = await hosts(1, rustGuest)
  const idsOf = (of: number): number[] => {
    const stat = readFileSync(`/proc/${of}/stat`, 'latin1')
    // Parent, group, session.
    return stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(1, 4)
      .map(Number)
  }
  const [parent, group, session] = idsOf(broker)
  const [, hostGroup, hostSession] = idsOf((all[0] as TestHost).hostPid)
  expect(parent).not.toBe(all[0]?.hostPid)
  expect([group, session]).toEqual([session, group])
  expect([group, session]).not.toContain(hostGroup)
  expect([group, session]).not.toContain(hostSession)
  await all[0]?.unload()
  await gone({ pid, broker })
})

describe('a guest whose process has no descriptor left', () => {
  const code = write(
    temporaryFolder(),
    'files.py',
    `import asyncio, os, resource

hold = []

def fill(spare):
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    try:
        while True:
            hold.append(os.open('/dev/null', os.O_RDONLY))
    except OSError:
        pass
    for _ in range(spare):
        os.close(hold.pop())

def release():
    while hold:
        os.close(hold.pop())

async def wait(seconds):
    await asyncio.sleep(seconds)
    return 'waited'

def add(a, b): return a + b
`,
  )

  test('refuses the host that comes, and goes on for the one that it has', async () => {
    const locator = `python:${code}`
    const options = fresh()
    const [first, second] = [host(), host()]
    const pid = (await first.load(locator, options)) as number
    await first.begin(1, 'wait', 2)
    for (const spare of [0, 1, 4, 5]) {
      await first.call('fill', spare)
      const { code: why, message } = (await second.tryToLoad(locator, options)) as Required<Outcome>
      expect([why, message], `${spare} left`).toEqual(['overloaded', expect.stringMatching(/descriptor|open files/)])
      await first.call('release')
    }
    expect(await first.call('add', 1, 2)).toBe(3)
    expect(await first.outcomes()).toEqual([{ value: 'waited' }])
    expect(await first.types()).toEqual(['starting', 'ready'])
    expect(await second.load(locator, options)).toBe(pid)
    await Promise.all([first.unload(), second.unload()])
    await ended(pid)
  })
})

test('a host whose output nobody reads hears at once of a reload by others, and how the guest has ended', async () => {
  const options = { placement: 'process' as const, ...fresh() }
  const source = `
    import { load } from '${dist('index.js')}'
    const guest = await load('${livesGuest}', ${JSON.stringify(options)})
    const pid = () => guest.stats().instances[0]?.pid
    const asked = {
      pid: async () => pid(),
      say: async () => void guest.call('say', ['x'.repeat(2_000_000)]).catch(() => {}),
      wait: () => guest.call('wait', [86_400]).catch(({ code, exit }) => ({ code, exit })),
      end: () => guest.unload(),
    }
    process.on('message', async (name) => process.send([name, await asked[name]()]))
    process.send(['loaded', pid()])
  `
  const stdio = ['ignore', 'pipe', 'inherit', 'ipc'] as const
  const blocked = spawn(process.execPath, ['--input-type=module', '--eval', source], { stdio: [...stdio] })
  onTestFinished(() => void blocked.kill('SIGKILL'))
  const heard = new Map<string, unknown>()
  blocked.on('message', ([name, value]: [string, unknown]) => heard.set(name, value))
  const answer = async (name: string): Promise<unknown> => {
    await until(() => heard.has(name))
    return heard.get(name)
  }
  const ask = (name: string): Promise<unknown> => {
    heard.delete(name)
    blocked.send(name)
    return answer(name)
  }
  const pid = (await answer('loaded')) as number
  await ask('say')
  // The pipe is full, and so is what its writer keeps.
  await until(() => (blocked.stdout?.readableLength ?? 0) > 0)
  const other = host()
  expect(await other.load(livesGuest, options)).toBe(pid)
  expect(await other.reload()).toEqual({ value: undefined })
  const next = await other.pid()
  await until(async () => (await ask('pid')) === next)
  await ask('say')
  const end = ask('wait')
  await until(async () => (await other.call('pid')) === next)
  process.kill(next as number, 'SIGKILL')
  expect(await end).toMatchObject({ code: 'guest-crashed', exit: { signal: 'SIGKILL' } })
  await other.unload()
  blocked.kill('SIGKILL')
  await until(() => blocked.signalCode !== null)
})
