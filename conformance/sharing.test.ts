// SPDX-License-Identifier: Apache-2.0
// One guest for several hosts: who is served, and what becomes of it when one of them ends.
import { expect, onTestFinished } from 'vitest'
import type { SubjectOptions } from './hosts/node.ts'
import { OtherHost, type Outcome } from './hosts/other.ts'
import { pattern } from './support/bytes.ts'
import { type Bench, type Claim, column } from './support/cells.ts'
import { until } from './support/expect.ts'
import { Code } from './support/folders.ts'
import { ended, isAlive } from './support/processes.ts'
import { numbers } from './support/streams.ts'

let number = 0

/** Hosts in processes of their own, and the guest's process, which is one. */
async function start(
  { language }: Bench,
  count: number,
  options: SubjectOptions = {},
): Promise<{ readonly hosts: readonly OtherHost[]; readonly pid: number }> {
  const shared = `sharing ${++number} of ${process.pid}`
  const hosts = Array.from({ length: count }, () => new OtherHost())
  onTestFinished(async () => void (await Promise.all(hosts.map((host) => host.kill()))))
  const loads = hosts.map(({ ask }) => ask.load(language.name, { shared, config: { shared }, ...options }))
  const outcomes = await Promise.all(loads)
  const pids = new Set(outcomes.map(resolved))
  expect(pids.size).toBe(1)
  return { hosts, pid: [...pids][0] as number }
}

/** What a call resolved with, in another host. */
function resolved(outcome: Outcome): unknown {
  expect(outcome.code, outcome.message).toBeUndefined()
  return outcome.value
}

const call = async (host: OtherHost, name: string, ...args: unknown[]): Promise<unknown> =>
  resolved(await host.ask.call(name, ...args))

/** Waits until all hosts are served by one process, which is not the one before. */
async function together(hosts: readonly OtherHost[], before: number): Promise<number> {
  let pid: number | undefined
  await until(async () => {
    const pids = await Promise.all(hosts.map((host) => host.ask.pid()))
    pid = pids[0]
    return pid !== undefined && pid !== before && pids.every((other) => other === pid)
  })
  return pid as number
}

const claims: Claim[] = [
  {
    name: 'several hosts have one guest, initialised once, and each its own answers',
    run: async (bench) => {
      const { hosts } = await start(bench, 3)
      expect(await Promise.all(hosts.map((host) => call(host, 'inits')))).toEqual([1, 1, 1])
      const answers = hosts.map((host, seed) =>
        Promise.all(
          Array.from({ length: 200 }, async (_, index) => {
            const bytes = pattern(index % 8 === 0 ? 50_000 : index * 31, seed * 1000 + index)
            return bytes.equals((await call(host, 'echo', bytes)) as Uint8Array)
          }),
        ),
      )
      expect((await Promise.all(answers)).flat()).toEqual(Array.from({ length: 600 }, () => true))
    },
  },
  {
    name: 'several hosts have streams at once, each its own',
    needs: ['streams'],
    run: async (bench) => {
      const { hosts } = await start(bench, 3, { threads: 8 })
      const streams = hosts.flatMap(({ ask }) => [ask.items('count', 500), ask.items('count', 2000)])
      const lengths = [500, 2000, 500, 2000, 500, 2000]
      expect(await Promise.all(streams)).toEqual(lengths.map((length) => [...numbers(length)]))
    },
  },
  {
    name: 'the guest hears that a host was killed, whichever it is, and the others go on',
    needs: ['cancelsSync:asks'],
    run: async (bench) => {
      const { hosts, pid } = await start(bench, 3, { threads: 8 })
      for (const [victim, other] of [
        [hosts[0], hosts[1]],
        [hosts[2], hosts[1]],
      ] as [OtherHost, OtherHost][]) {
        const [begun, seen] = [(await call(other, 'begun')) as number, (await call(other, 'cancels_seen')) as number]
        await victim.ask.begin(4, 'spin_until_cancelled', 1_000_000)
        await until(async () => (await call(other, 'begun')) === begun + 4)
        await victim.kill()
        await until(async () => (await call(other, 'cancels_seen')) === seen + 4)
        expect(await call(other, 'add', 1, 2)).toBe(3)
      }
      expect(await hosts[1]?.ask.pid()).toBe(pid)
    },
  },
  {
    name: 'a guest that is killed rejects the calls of all hosts, with the signal, and all have one again',
    run: async (bench) => {
      const { hosts, pid } = await start(bench, 3)
      await Promise.all(hosts.map(({ ask }) => ask.begin(2, 'park')))
      process.kill(pid, 'SIGKILL')
      for (const outcomes of await Promise.all(hosts.map(({ ask }) => ask.outcomes()))) {
        for (const { code, signal } of outcomes) expect([code, signal]).toEqual(['guest-crashed', 'SIGKILL'])
      }
      expect(await Promise.all(hosts.map((host) => call(host, 'inits')))).toEqual([1, 1, 1])
      await together(hosts, pid)
      for (const { ask } of hosts) {
        expect(await ask.types()).toEqual(['starting', 'ready', 'crashed', 'starting', 'restarted'])
      }
    },
  },
  {
    name: 'it goes on when a host unloads it, and ends with the last one',
    run: async (bench) => {
      const { hosts, pid } = await start(bench, 2)
      await hosts[0]?.ask.unload()
      expect(await call(hosts[1] as OtherHost, 'add', 1, 2)).toBe(3)
      expect(isAlive(pid)).toBe(true)
      await hosts[1]?.ask.unload()
      await ended(pid)
    },
  },
  {
    name: 'it goes with its hosts when all are killed, with calls in flight',
    run: async (bench) => {
      const { hosts, pid } = await start(bench, 2)
      await Promise.all(hosts.map(({ ask }) => ask.begin(2, 'park')))
      await Promise.all(hosts.map((host) => host.kill()))
      await ended(pid)
    },
  },
  {
    name: 'what it prints comes to one host, the first of those that are there',
    run: async (bench) => {
      const { hosts } = await start(bench, 2)
      await call(hosts[1] as OtherHost, 'log_lines', 10)
      const printed = async (): Promise<number[]> =>
        Promise.all(hosts.map(async ({ ask }) => (await ask.lines()).length))
      await until(async () => Math.max(...(await printed())) === 20)
      expect(Math.min(...(await printed()))).toBe(0)
    },
  },
  {
    name: 'a reload by one host is one for all',
    needs: ['reloads'],
    run: async (bench) => {
      const code = new Code(bench.language)
      const shared = `sharing ${++number} of ${process.pid}`
      const { hosts, pid } = await start(bench, 2, { ...code.options, shared })
      const own = await bench.load({ ...code.options, shared })
      expect(own.pid()).toBe(pid)
      code.become('2')
      await own.reload()
      expect(await own.call('version')).toBe('2')
      const fresh = await together(hosts, pid)
      expect(fresh).toBe(own.pid())
      expect(await Promise.all(hosts.map((host) => call(host, 'version')))).toEqual(['2', '2'])
      for (const { ask } of hosts) {
        expect(await ask.types()).toEqual(['starting', 'ready', 'starting', 'ready', 'reloaded'])
      }
      await ended(pid)
    },
  },
  {
    name: 'a guest that does not start fails the load of every host that waits for it',
    run: async ({ language }) => {
      const shared = `sharing ${++number} of ${process.pid}`
      const hosts = Array.from({ length: 3 }, () => new OtherHost())
      onTestFinished(async () => void (await Promise.all(hosts.map((host) => host.kill()))))
      const loads = hosts.map(({ ask }) => ask.load(language.name, { shared, config: { fail: 'no licence' } }))
      for (const { code, message } of await Promise.all(loads)) {
        expect(code).toBe('init-failed')
        expect(message).toContain('no licence')
      }
    },
  },
]

column(
  'sharing',
  claims.map((claim) => ({ ...claim, placements: ['shared'] })),
)
