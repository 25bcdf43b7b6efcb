// SPDX-License-Identifier: Apache-2.0
// How guests begin, live, print, die and end.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { Placement } from './languages.ts'
import type { Subject } from './subject.ts'
import { type Claim, column } from './support/cells.ts'
import { matches, rejection, until } from './support/expect.ts'
import { ended, isAlive, started } from './support/processes.ts'
import { Feed, numbers } from './support/streams.ts'

/** Where the guest has a process that is not the host's. */
const apart: readonly Placement[] = ['process', 'shared']

const typesOf = ({ events }: Subject): string[] => events.map(({ type }) => type)
const count = (types: readonly string[], type: string): number => types.filter((one) => one === type).length
const pidOf = (guest: Subject): number => guest.pid() as number

const anywhere: Claim[] = [
  {
    name: 'without a configuration there is none',
    run: async ({ load }) => {
      const guest = await load({ config: undefined })
      expect((await guest.call('config')) ?? null).toBeNull()
    },
  },
  {
    name: 'the manifest tells the functions',
    run: async ({ guest }) => {
      const names = guest.methods.map(({ name }) => name)
      expect(names).toEqual(expect.arrayContaining(['add', 'echo', 'handle', 'nothing']))
      expect(names).not.toContain('init')
    },
  },
  {
    name: 'the manifest tells which functions are async',
    needs: ['async'],
    run: async ({ guest }) => {
      expect(guest.methods).toContainEqual(expect.objectContaining({ name: 'echo_async', async: true }))
      expect(guest.methods.find(({ name }) => name === 'echo')?.async ?? false).toBe(false)
    },
  },
  {
    name: 'functions run on as many threads as were asked for',
    run: async ({ load }) => {
      const guest = await load({ threads: 3 })
      // Each waits for the others, so none shares its thread.
      const met = await Promise.all([3, 3, 3].map((all) => guest.call('meet', [all])))
      expect(new Set(met).size).toBe(3)
      const others = await Promise.all(Array.from({ length: 40 }, () => guest.call('meet', [0])))
      expect(new Set([...met, ...others]).size).toBe(3)
    },
  },
  {
    name: 'functions on one thread run one after the other',
    run: async ({ load }) => {
      const guest = await load({ threads: 1 })
      const threads = await Promise.all(Array.from({ length: 40 }, () => guest.call('meet', [0])))
      expect(new Set(threads).size).toBe(1)
    },
  },
  {
    name: 'init and functions have as much stack as the main thread of a program',
    run: async ({ load }) => {
      const bytes = 6 * 2 ** 20
      const guest = await load({ config: { stack: bytes } })
      expect(await guest.call('stack', [bytes])).toBe(bytes)
    },
  },
  {
    name: 'what is printed comes in whole lines, each stream in its order',
    run: async ({ load }) => {
      const guest = await load()
      await Promise.all([guest.call('log_lines', [500]), guest.call('log_lines', [500])])
      await until(() => guest.lines.length === 2000)
      for (const word of ['line', 'warning']) {
        const indexes = guest.lines
          .filter((line) => line.startsWith(`${word} `))
          .map((line) => Number(line.split(' ')[1]))
        expect([...indexes].sort((one, other) => one - other)).toEqual([...numbers(500)].flatMap((one) => [one, one]))
        // Two calls print the same numbers: those of each are in order if no number comes before all smaller ones came.
        const seen = Array.from({ length: 500 }, () => 0)
        for (const index of indexes) {
          seen[index] = (seen[index] as number) + 1
          expect(index === 0 || (seen[index] as number) <= (seen[index - 1] as number)).toBe(true)
        }
      }
    },
  },
  {
    name: 'an unload lets calls in flight finish, refuses others, and may be asked for again',
    needs: ['streams'],
    run: async ({ load }) => {
      const guest = await load()
      const feed = guest.duplex('upper')
      await feed.write('a')
      expect((await feed.next()).value).toBe('A')
      const unloaded = guest.unload()
      await rejection(guest.call('add', [1, 2]), 'unloaded')
      await feed.write('b')
      expect((await feed.next()).value).toBe('B')
      feed.end()
      expect((await feed.next()).done).toBe(true)
      await unloaded
      await guest.unload()
      await rejection(guest.call('add', [1, 2]), 'unloaded')
    },
  },
  {
    name: 'an unload ends what waits on a thread once its caller has gone',
    run: async ({ load }) => {
      const guest = await load()
      const controller = new AbortController()
      const parked = guest.call('park', [], { signal: controller.signal })
      const unloaded = guest.unload()
      controller.abort()
      await rejection(parked, 'cancelled')
      await unloaded
    },
  },
  {
    name: 'a guest can be loaded again after its unload, and is initialised again',
    run: async ({ load }) => {
      const config = { again: Math.random() }
      for (let round = 0; round < 3; round++) {
        const guest = await load({ config })
        expect(await guest.call('config')).toEqual(config)
        await guest.unload()
      }
    },
  },
  {
    name: 'a start that fails can be tried again',
    run: async ({ load }) => {
      for (let round = 0; round < 3; round++) {
        await rejection(load({ config: { fail: 'not yet' } }), 'init-failed', 'not yet')
      }
    },
  },
]

const forks: Claim[] = ['fork', 'fork_async'].map((name) => ({
  name: `the child of a ${name === 'fork' ? 'fork' : 'fork of an async function'} answers nothing, takes no call and leaves`,
  needs: name === 'fork' ? [] : ['async'],
  run: async ({ load }) => {
    const guest = await load({ threads: 2 })
    const pid = await guest.call('pid')
    for (let round = 0; round < 5; round++) {
      // It returns once the child has ended: one that goes on hangs here.
      expect(await guest.call(name)).toBe(0)
      expect(await Promise.all(Array.from({ length: 20 }, () => guest.call('pid')))).toEqual(Array(20).fill(pid))
    }
    expect(typesOf(guest)).toEqual(['starting', 'ready'])
  },
}))

/** Says in a file which standard streams it lacks, which of them cannot be opened by their names, and which signals it blocks and ignores. */
const ownState = `#!/bin/sh
for number in 0 1 2; do
  [ -e "/proc/$$/fd/$number" ] || closed="$closed $number"
done
for name in stdout stderr; do
  (: >>"/dev/$name") 2>/dev/null || sealed="$sealed $name"
done
exec >"$0.out" </dev/null
echo "closed:$closed"
echo "sealed:$sealed"
exec grep -E '^Sig(Blk|Ign)' /proc/self/status
`

const programs: Claim[] = [
  {
    name: 'a program that it starts has the standard streams, blocks no signal and ignores none',
    run: async ({ load, placement }) => {
      const folder = mkdtempSync(join(tmpdir(), 'polyloop-conformance-'))
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
      const program = join(folder, 'state.sh')
      writeFileSync(program, ownState, { mode: 0o755 })
      const guest = await load()
      expect(await guest.call('run', [program])).toBe(0)
      const [closed, sealed, ...sets] = readFileSync(`${program}.out`, 'utf8').trim().split('\n')
      expect(closed).toBe('closed:')
      // On threads they are the host's, whatever those are.
      if (placement !== 'thread') expect(sealed).toBe('sealed:')
      // Those from 32 on are the C library's own.
      const standard = sets.map((line) => BigInt(`0x${line.split('\t')[1]}`) & 0x7fff_ffffn)
      expect(standard).toEqual([0n, 0n])
    },
  },
  {
    name: 'an interrupt, which reaches all the processes of a program, does not end it',
    placements: apart,
    run: async ({ load }) => {
      const guest = await load()
      guest.kill('SIGINT')
      expect(await guest.call('add', [1, 2])).toBe(3)
      expect(typesOf(guest)).toEqual(['starting', 'ready'])
    },
  },
]

const deaths: Claim[] = [
  {
    name: 'the process is not the host, and ends with the unload',
    placements: apart,
    run: async ({ load }) => {
      const guest = await load()
      const pid = pidOf(guest)
      expect(pid).not.toBe(process.pid)
      expect(await guest.call('pid')).toBe(pid)
      expect(typesOf(guest)).toEqual(['starting', 'ready'])
      await guest.unload()
      await ended(pid)
    },
  },
  {
    name: 'killed, it rejects all that is in flight, says how it ended, and is started again',
    placements: apart,
    run: async ({ load }) => {
      const guest = await load()
      const first = pidOf(guest)
      await guest.call('log_lines', [1])
      await until(() => guest.lines.length === 2)
      const calls = Array.from({ length: 64 }, () => rejection(guest.call('park'), 'guest-crashed', 'SIGKILL'))
      guest.kill('SIGKILL')
      for (const error of await Promise.all(calls)) {
        expect(error.exit).toMatchObject({ code: null, signal: 'SIGKILL' })
        expect(error.exit?.lines).toEqual(expect.arrayContaining(['line 0', 'warning 0']))
        expect(error.message).toContain('line 0')
      }
      // Made while there is no guest, it waits for the next one.
      expect(await guest.call('add', [1, 2])).toBe(3)
      expect(pidOf(guest)).not.toBe(first)
      expect(await guest.call('inits')).toBe(1)
      expect(typesOf(guest)).toEqual(['starting', 'ready', 'crashed', 'starting', 'restarted'])
      matches(guest.events.find(({ type }) => type === 'crashed')?.error, { code: 'guest-crashed' })
      expect(guest.stats()).toMatchObject({ restarts: 1, inFlight: 0, errors: 64 })
    },
  },
  {
    name: 'a function that leaves is told by the exit code, and by what was printed last',
    placements: apart,
    run: async ({ load }) => {
      const guest = await load()
      const error = await rejection(guest.call('exit', [7, 'farewell']), 'guest-crashed', 'code 7')
      expect(error.exit).toMatchObject({ code: 7, signal: null })
      expect(error.exit?.lines).toContain('farewell')
      expect(await guest.call('add', [1, 2])).toBe(3)
    },
  },
  {
    name: 'a function that aborts is told by its signal, and other guests go on',
    placements: apart,
    run: async ({ guest: other, load }) => {
      const guest = await load()
      const error = await rejection(guest.call('abort'), 'guest-crashed', 'SIGABRT')
      expect(error.exit?.signal).toBe('SIGABRT')
      expect(await other.call('add', [1, 2])).toBe(3)
      expect(await guest.call('add', [3, 4])).toBe(7)
      expect(typesOf(other)).toEqual(['starting', 'ready'])
    },
  },
  {
    name: 'a death in the middle of a stream comes after the items before',
    needs: ['streams'],
    placements: apart,
    run: async ({ load }) => {
      const guest = await load()
      const items: unknown[] = []
      const read = async (): Promise<void> => {
        for await (const item of guest.stream('count_and_exit', [50, 9])) items.push(item)
      }
      const error = await rejection(read(), 'guest-crashed', 'code 9')
      expect(error.exit?.code).toBe(9)
      expect(items).toEqual([...numbers(50)])
    },
  },
  {
    name: 'a death ends the iterable that was an argument',
    needs: ['streams'],
    placements: apart,
    run: async ({ load }) => {
      const guest = await load()
      const feed = new Feed(numbers())
      const call = rejection(guest.call('total', [feed]), 'guest-crashed')
      await until(() => feed.given > 100)
      guest.kill()
      await call
      await until(() => feed.closed)
    },
  },
  {
    name: 'what a guest has kept is given back when it dies: the bounds are whole again',
    needs: ['holds'],
    placements: apart,
    run: async ({ load }) => {
      const guest = await load({ maxCalls: 1 })
      for (let round = 1; round <= 3; round++) {
        await guest.call('keep', [Buffer.alloc(8000)])
        // It has the only place.
        await rejection(guest.call('length', [Buffer.alloc(1)], { deadline: 100 }), 'deadline')
        guest.kill()
        await until(() => count(typesOf(guest), 'restarted') === round)
      }
      expect(await guest.call('length', [Buffer.alloc(1)])).toBe(1)
      expect(guest.stats()).toMatchObject({ inFlight: 0, pinned: 0 })
    },
  },
  {
    name: 'with restart false it is not started again',
    placements: apart,
    run: async ({ load }) => {
      const guest = await load({ restart: false })
      await rejection(guest.call('abort'), 'guest-crashed')
      await rejection(guest.call('nothing'), 'guest-crashed')
      expect(typesOf(guest)).toEqual(['starting', 'ready', 'crashed', 'gave-up'])
    },
  },
]

const limits: Claim[] = [
  {
    name: 'it has no more memory than maxMemory, and lives on when it asks for more',
    needs: ['memoryErrors'],
    placements: apart,
    run: async ({ load }) => {
      const guest = await load({ maxMemory: 300 * 2 ** 20 })
      await rejection(guest.call('allocate', [2 ** 30]), 'guest-error')
      expect(await guest.call('allocate', [2 ** 20])).toBe(2 ** 20)
      // What crosses is shared, and is not its own.
      expect(((await guest.call('echo', [Buffer.alloc(64 * 2 ** 20)])) as Buffer).length).toBe(64 * 2 ** 20)
      expect(typesOf(guest)).toEqual(['starting', 'ready'])
    },
  },
  {
    name: 'one that hangs is told of, and goes on when it can',
    needs: ['beats'],
    placements: apart,
    run: async ({ load }) => {
      const guest = await load({ heartbeat: 200 })
      expect(await guest.call('stuck', [1000])).toBe(1000)
      const hung = guest.events.find(({ type }) => type === 'hung')
      expect((hung?.error as Error | undefined)?.message).toContain('200 ms')
      // On a busy machine it may seem to hang once more.
      expect(new Set(typesOf(guest))).toEqual(new Set(['starting', 'ready', 'hung']))
    },
  },
  {
    name: 'one that hangs is killed if the option says so, and started again',
    needs: ['beats'],
    placements: apart,
    run: async ({ load }) => {
      const guest = await load({ heartbeat: 300, whenHung: 'kill' })
      await rejection(guest.call('stuck', [1_000_000]), 'guest-crashed', 'SIGKILL', 'able to run code for 300 ms')
      expect(await guest.call('add', [1, 2])).toBe(3)
      expect(typesOf(guest).slice(0, 6)).toEqual(['starting', 'ready', 'hung', 'crashed', 'starting', 'restarted'])
    },
  },
  {
    name: 'one that has nothing to do does not hang',
    placements: apart,
    run: async ({ guest: other, load }) => {
      const guest = await load({ heartbeat: 2000, whenHung: 'kill' })
      await other.call('sleep_ms', [2500])
      expect(typesOf(guest)).toEqual(['starting', 'ready'])
      expect(await guest.call('add', [1, 2])).toBe(3)
    },
  },
  {
    name: 'one whose threads are all busy does not hang',
    placements: apart,
    run: async ({ load }) => {
      const guest = await load({ heartbeat: 2000, whenHung: 'kill', threads: 2 })
      const calls = [1, 2].map(() => guest.call('spin_until_cancelled', [2500]))
      expect(await Promise.all(calls)).toEqual([false, false])
      expect(typesOf(guest)).toEqual(['starting', 'ready'])
    },
  },
  {
    name: 'several instances share the calls, and die alone',
    placements: apart,
    run: async ({ load }) => {
      const guest = await load({ instances: 2, restart: { minDelay: 60_000, maxDelay: 60_000 } })
      const pids = guest.stats().instances.map(({ pid }) => pid)
      const seen = await Promise.all(Array.from({ length: 40 }, () => guest.call('pid')))
      expect(new Set(seen)).toEqual(new Set(pids))
      expect(pids.every((pid) => isAlive(pid as number))).toBe(true)
      const calls = Array.from({ length: 20 }, () =>
        guest.call('sleep_ms', [50]).then(
          () => 'done',
          (error: { code: string }) => error.code,
        ),
      )
      guest.kill()
      const outcomes = await Promise.all(calls)
      expect(count(outcomes, 'guest-crashed')).toBe(10)
      expect(count(outcomes, 'done')).toBe(10)
      await until(() => guest.stats().instances.length === 2)
    },
  },
  {
    name: 'after the last unload no process is left',
    placements: apart,
    run: async ({ load }) => {
      const before = started()
      const guest = await load({ instances: 2 })
      // Each has a guard, and a shared one a broker before that.
      const own = started().filter((pid) => !before.includes(pid))
      expect(own).toEqual(expect.arrayContaining(guest.stats().instances.map(({ pid }) => pid)))
      expect(own.length).toBeGreaterThanOrEqual(4)
      await guest.unload()
      await until(() => started().every((pid) => before.includes(pid)))
    },
  },
]

column('lifecycle', [...anywhere, ...forks, ...programs, ...deaths, ...limits])
