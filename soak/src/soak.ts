// SPDX-License-Identifier: Apache-2.0
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type LoadOptions, load, type Runtime } from 'polyloop'
import { type Guest, Lanes, type Mix } from './lanes.ts'
import { type Held, settle } from './leaks.ts'
import { Random } from './random.ts'
import { Tally } from './tally.ts'

/** How much is done. */
export interface Plan {
  /** Calls to make; with kills, as many as there is time for. */
  readonly calls: number
  readonly kills: number
  readonly reloads: number
  readonly outstanding: number
  readonly mix: Mix
  readonly seed: number
}

export interface Outcome {
  readonly tally: Tally
  /** Calls that were counted by the runtimes, and answers that were given twice. */
  readonly duplicates: number
  readonly before: Held
  readonly after: Held
}

const repository = fileURLToPath(new URL('../../', import.meta.url))
const restart = { attempts: Number.POSITIVE_INFINITY, minDelay: 0 }

/** Calls guests in processes of their own, kills and reloads them meanwhile, and looks at what is left. */
export async function soak(plan: Plan, tell: (tally: Tally) => void = () => {}): Promise<Outcome> {
  // What is made once and stays: the loop's doorbell, the add-on's own.
  await (await open('rust', 'warm', {})).runtime.unload()
  const before = await settle()
  const folder = mkdtempSync(join(tmpdir(), 'polyloop-soak-'))
  const tally = new Tally()
  try {
    const duplicates = await play(plan, folder, tally, tell)
    return { tally, duplicates, before, after: await settle(before) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function open(kind: 'rust' | 'python', folder: string, options: LoadOptions): Promise<Guest> {
  const locator =
    kind === 'rust'
      ? `rust:${resolve(repository, process.env.CARGO_TARGET_DIR ?? 'target', 'release/libpolyloop_fixture.so')}`
      : `python:${join(folder, 'guest.py')}`
  const runtime = await load(locator, { placement: 'process', restart, config: { soak: folder }, ...options })
  return { name: kind, runtime }
}

async function play(plan: Plan, folder: string, tally: Tally, tell: (tally: Tally) => void): Promise<number> {
  const random = new Random(plan.seed)
  copyFileSync(join(repository, 'conformance/fixtures/python/soaked.py'), join(folder, 'guest.py'))
  const guests = await Promise.all([open('rust', folder, { instances: 2 }), open('python', folder, { instances: 2 })])
  const lanes = new Lanes(guests, random, tally, plan.mix)
  const timer = setInterval(() => tell(tally), 10_000)
  const runtimes = guests.map(({ runtime }) => runtime)
  const calls = lanes.run(plan.outstanding, plan.kills > 0 ? Number.POSITIVE_INFINITY : plan.calls)
  try {
    await disturb(plan, lanes, runtimes, random, tally)
    if (plan.kills > 0) lanes.end()
    await calls
  } finally {
    clearInterval(timer)
  }
  const duplicates = runtimes.reduce((sum, runtime) => sum + runtime.stats().duplicates, 0)
  await Promise.all(runtimes.map((runtime) => runtime.unload()))
  return duplicates
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Kills and reloads, spread over the calls. */
async function disturb(
  { kills, reloads, calls }: Plan,
  lanes: Lanes,
  runtimes: readonly Runtime[],
  random: Random,
  tally: Tally,
): Promise<void> {
  const pace = kills > 0 ? 1000 : Math.ceil(calls / (reloads + 1) / 2)
  while (tally.kills < kills || tally.reloads < reloads) {
    // By what is done and not by the clock: a slow machine is disturbed as often.
    const next = lanes.made + pace / 2 + random.below(pace)
    while (lanes.made < next && !lanes.isOver) await turn()
    if (lanes.isOver) return
    const runtime = runtimes[random.below(runtimes.length)] as Runtime
    if (tally.reloads < reloads && (tally.kills >= kills || random.once(10))) {
      await runtime.reload().then(
        () => tally.reloads++,
        // The new one was killed while it started: the old ones go on.
        (error: { code?: string }) => (error.code === 'init-failed' ? undefined : tally.fault(String(error))),
      )
    } else if (tally.kills < kills && kill(runtime, random)) tally.kills++
  }
}

/** Kills one of a runtime's processes, whatever it does. */
function kill(runtime: Runtime, random: Random): boolean {
  const pids = runtime.stats().instances.flatMap(({ pid }) => pid ?? [])
  const pid = pids[random.below(Math.max(1, pids.length))]
  if (pid === undefined) return false
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch {
    return false
  }
}
