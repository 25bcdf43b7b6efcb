// SPDX-License-Identifier: Apache-2.0
// New code in the place of old, without a call lost.
import { expect } from 'vitest'
import type { SubjectOptions } from './hosts/node.ts'
import type { Subject } from './subject.ts'
import { type Bench, type Claim, column } from './support/cells.ts'
import { rejection, until } from './support/expect.ts'
import { Code } from './support/folders.ts'
import { isAlive } from './support/processes.ts'

const needs = ['reloads']
const typesOf = ({ events }: Subject): string[] => events.map(({ type }) => type)
const versionOf = (guest: Subject): Promise<unknown> => guest.call('version')

/** Code of the claim's own, and a guest that was loaded from it. */
async function start(
  { language, load }: Bench,
  options: SubjectOptions = {},
): Promise<{ readonly code: Code; readonly guest: Subject }> {
  const code = new Code(language)
  return { code, guest: await load({ ...code.options, ...options }) }
}

const claims: Claim[] = [
  {
    name: 'sends new calls to the new code while calls in flight finish on the old',
    needs: [...needs, 'streams'],
    run: async (bench) => {
      const { code, guest } = await start(bench)
      const open = guest.duplex('versions')
      await open.write(1)
      expect((await open.next()).value).toBe('1')
      code.become('2')
      expect(await versionOf(guest)).toBe('1')
      await guest.reload()
      expect(await versionOf(guest)).toBe('2')
      await open.write(2)
      expect((await open.next()).value).toBe('1')
      open.end()
      expect((await open.next()).done).toBe(true)
      expect(guest.stats().reloads).toBe(1)
      expect(typesOf(guest)).toEqual(['starting', 'ready', 'starting', 'ready', 'reloaded'])
      // The old one is gone once its last call is answered.
      await until(() => guest.stats().instances.length === 1)
    },
  },
  {
    name: 'initialises the new code, which has nothing of the old',
    needs,
    run: async (bench) => {
      const { code, guest } = await start(bench)
      await guest.call('log_lines', [1])
      code.become('2')
      await guest.reload()
      expect(await guest.call('inits')).toBe(1)
      expect(await guest.call('config')).toEqual(code.options.config)
      await guest.call('log_lines', [1])
      await until(() => guest.lines.length === 4)
    },
  },
  {
    name: 'loses, refuses and doubles no call, however often it is done',
    needs,
    run: async (bench) => {
      const { code, guest } = await start(bench)
      let [isOver, answered] = [false, 0]
      const seen = new Set<unknown>()
      const callers = Array.from({ length: 32 }, async () => {
        while (!isOver) {
          seen.add(await versionOf(guest))
          answered++
        }
      })
      for (const version of ['2', '3', '4', '5']) {
        code.become(version)
        await guest.reload()
        expect(await versionOf(guest)).toBe(version)
        await until(() => seen.has(version))
      }
      isOver = true
      await Promise.all(callers)
      expect([...seen].sort()).toEqual(['1', '2', '3', '4', '5'])
      expect(guest.stats()).toMatchObject({ errors: 0, duplicates: 0, inFlight: 0, reloads: 4 })
      expect(guest.stats().calls).toBe(answered + 4)
    },
  },
  {
    name: 'of code that does not start keeps the old and says why, until it is mended',
    needs,
    run: async (bench) => {
      const { code, guest } = await start(bench)
      code.break()
      await rejection(guest.reload(), 'init-failed', 'it was told to fail')
      expect(await versionOf(guest)).toBe('1')
      expect(typesOf(guest).at(-1)).toBe('reload-failed')
      code.mend('2')
      await guest.reload()
      expect(await versionOf(guest)).toBe('2')
    },
  },
  {
    name: 'asked for several times at once is done with the code of the last',
    needs,
    run: async (bench) => {
      const { code, guest } = await start(bench)
      const reloads = ['2', '3', '4'].map((version) => {
        code.become(version)
        return guest.reload()
      })
      await Promise.all(reloads)
      expect(await versionOf(guest)).toBe('4')
      expect(guest.stats().reloads).toBeLessThanOrEqual(2)
      await guest.unload()
      await rejection(guest.reload(), 'unloaded')
    },
  },
  {
    name: 'comes by itself with hotReload, and a mistake is told and mended',
    needs,
    run: async (bench) => {
      const { code, guest } = await start(bench, { hotReload: true })
      code.become('2')
      await until(async () => (await versionOf(guest)) === '2')
      code.break()
      await until(() => typesOf(guest).includes('reload-failed'))
      expect(String(guest.events.at(-1)?.error)).toContain('it was told to fail')
      expect(await versionOf(guest)).toBe('2')
      code.mend('3')
      await until(async () => (await versionOf(guest)) === '3')
    },
  },
  {
    name: 'comes by itself, once, when a link on the way to the code leads to another version',
    needs,
    run: async ({ language, load }) => {
      const code = new Code(language, true)
      const guest = await load({ ...code.options, hotReload: true })
      for (const [index, version] of ['2', '3'].entries()) {
        code.become(version)
        await until(async () => (await versionOf(guest)) === version)
        await until(() => guest.stats().reloads > index)
        expect(guest.stats().reloads).toBe(index + 1)
      }
    },
  },
  {
    name: 'gives all instances the new code at once, and ends the old ones',
    needs,
    placements: ['process', 'shared'],
    run: async (bench) => {
      const { code, guest } = await start(bench, { instances: 3 })
      const before = guest.stats().instances.map(({ pid }) => pid as number)
      code.become('2')
      await guest.reload()
      const versions = await Promise.all(Array.from({ length: 30 }, () => versionOf(guest)))
      expect(new Set(versions)).toEqual(new Set(['2']))
      await until(() => before.every((pid) => !isAlive(pid)))
      await until(() => guest.stats().instances.length === 3)
    },
  },
]

column('reload', claims)
