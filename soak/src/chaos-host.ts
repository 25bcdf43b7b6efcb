// SPDX-License-Identifier: Apache-2.0
// The host of a chaos: calls one guest all the time, checks every answer, and does to itself and its guest what it is
// told. `chaos.ts` starts it, and does to it what nobody can do to oneself.
import { closeSync, openSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { load, type Runtime, type RuntimeEvent } from 'polyloop'
import type { HostPlan, Kind, Order, Report } from './chaos-orders.ts'
import { type Guest, Lanes } from './lanes.ts'
import { parentOf } from './processes.ts'
import { Random } from './random.ts'
import { Tally } from './tally.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class Host {
  readonly #plan: HostPlan
  readonly #random: Random
  readonly #tally = new Tally()
  readonly #guest: { name: string; runtime: Runtime }
  readonly #lanes: Lanes
  readonly #calls: Promise<void>
  #events = 0

  constructor(plan: HostPlan, runtime: Runtime) {
    this.#plan = plan
    this.#random = new Random(plan.seed)
    this.#guest = { name: plan.locator, runtime }
    const mix = { longest: 50_000, givesUp: 20, streams: 50 }
    const guests: readonly Guest[] = [this.#guest]
    this.#lanes = new Lanes(guests, this.#random, this.#tally, mix, ['guest-crashed', 'unloaded'])
    this.#calls = this.#lanes.run(plan.outstanding, Number.POSITIVE_INFINITY)
  }

  static async start(plan: HostPlan): Promise<Host> {
    let host: Host | undefined
    const onEvent = ({ type }: RuntimeEvent): void => {
      if (host !== undefined && type !== 'starting') host.#events++
    }
    host = new Host(plan, await load(plan.locator, { ...plan.options, onEvent }))
    return host
  }

  /** Lets some calls be answered, so that the next fault meets a guest at work. */
  async #work(): Promise<void> {
    const next = this.#tally.answered + 1 + this.#random.below(100)
    while (this.#tally.answered < next) await turn()
  }

  #pid(): number | undefined {
    const pids = this.#guest.runtime.stats().instances.flatMap(({ pid }) => pid ?? [])
    return pids[this.#random.below(Math.max(1, pids.length))]
  }

  /** Who has started a guest's process: its guard; and who has started that. */
  #above(generations: 1 | 2): number | undefined {
    const guard = parentOf(this.#pid() ?? 0)
    return generations === 1 || guard === undefined ? guard : parentOf(guard)
  }

  #signal(pid: number | undefined, signal: NodeJS.Signals): void {
    try {
      if (pid !== undefined && pid > 1 && pid !== process.pid) process.kill(pid, signal)
    } catch {
      // It has ended already.
    }
  }

  async do(kind: Kind): Promise<void> {
    await this.#work()
    const { runtime } = this.#guest
    switch (kind) {
      case 'kill':
        return this.#signal(this.#pid(), 'SIGKILL')
      case 'abort':
        return this.#signal(this.#pid(), 'SIGABRT')
      case 'guard':
        return this.#signal(this.#above(1), 'SIGKILL')
      case 'broker':
        // Of a guest that is not shared this is the host itself, which is left alone.
        return this.#signal(this.#above(2), 'SIGKILL')
      case 'pause': {
        const pid = this.#pid()
        this.#signal(pid, 'SIGSTOP')
        for (let turns = this.#random.below(200); turns > 0; turns--) await turn()
        return this.#signal(pid, 'SIGCONT')
      }
      case 'descriptors':
        return this.#exhaust()
      case 'worker':
        return this.#terminate()
      case 'reload':
        return this.#reload(runtime)
      case 'reload-and-kill': {
        const reloading = this.#reload(runtime)
        this.#signal(this.#pid(), 'SIGKILL')
        return reloading
      }
      case 'churn':
        return this.#churn()
      case 'print':
        return void (await runtime
          .call('say', [1 << 18])
          .catch((error: unknown) => this.#expect(error, 'guest-crashed')))
    }
  }

  async #reload(runtime: Runtime): Promise<void> {
    await runtime.reload().catch((error: unknown) => this.#expect(error, 'init-failed', 'overloaded', 'not-found'))
  }

  #expect(error: unknown, ...codes: readonly string[]): void {
    if (!codes.includes((error as { code?: string }).code ?? '')) this.#tally.fault(String((error as Error).stack))
  }

  /** Its guest dies while this host has few descriptors left, or none. */
  async #exhaust(): Promise<void> {
    const taken: number[] = []
    try {
      for (;;) taken.push(openSync('/dev/null', 'r'))
    } catch {
      for (let left = this.#random.below(20); left > 0; left--) closeSync(taken.pop() as number)
    }
    const events = this.#events
    this.#signal(this.#pid(), 'SIGKILL')
    // The death, and a start that fails or does not; neither comes if the guest was about to start anyhow.
    for (let turns = 0; turns < 2000 && this.#events < events + 2; turns++) await turn()
    for (const file of taken) closeSync(file)
  }

  /** A worker thread that loads a guest of its own ends at any time of that. */
  async #terminate(): Promise<void> {
    const { locator, options } = this.#plan
    const data = { locator, options: { ...options, config: { worker: this.#random.below(1 << 30) } } }
    const code = `
      const { workerData } = require('node:worker_threads')
      import('polyloop').then(async ({ load }) => (await load(workerData.locator, workerData.options)).send(new Uint8Array(9)))`
    const worker = new Worker(code, { eval: true, workerData: data })
    worker.on('error', (error) => this.#tally.fault(String(error)))
    for (let turns = this.#random.below(300); turns > 0; turns--) await turn()
    await worker.terminate()
  }

  /** Unloads and loads at once; calls that come between are refused. */
  async #churn(): Promise<void> {
    const unloading = this.#guest.runtime.unload(this.#random.once(2) ? { timeout: this.#random.below(50) } : undefined)
    const { locator, options } = this.#plan
    const onEvent = (): void => void this.#events++
    this.#guest.runtime = await load(locator, { ...options, onEvent })
    await unloading
  }

  /** The guest starts processes of its own. */
  async pool(): Promise<void> {
    for (;;) {
      try {
        return void (await this.#guest.runtime.call('start_pool'))
      } catch (error) {
        this.#expect(error, 'guest-crashed')
      }
    }
  }

  report(type: 'done' | 'ended'): Report {
    return { type, settled: this.#tally.settled, rejected: this.#tally.rejected }
  }

  /** No more calls: every one has settled, and the guest is gone. */
  async end(): Promise<Report> {
    this.#lanes.end()
    await this.#calls
    await this.#guest.runtime.unload()
    const { inFlight, queued, bytesInFlight } = this.#guest.runtime.stats()
    if (inFlight + queued + bytesInFlight > 0) this.#tally.fault(`counts are left: ${inFlight}, ${queued}`)
    for (const what of this.#tally.wrong) process.send?.({ type: 'wrong', what } satisfies Report)
    return this.report('ended')
  }
}

const host = await Host.start(JSON.parse(process.argv[2] as string) as HostPlan)
const say = (report: Report): void => void process.send?.(report)
process.on('message', (order: Order) => {
  const done =
    order.do === 'end'
      ? host.end().then((report) => {
          say(report)
          process.disconnect()
        })
      : (order.do === 'pool' ? host.pool() : host.do(order.do)).then(() => say(host.report('done')))
  done.catch((error: unknown) => say({ type: 'wrong', what: String((error as Error).stack) }))
})
say({ type: 'ready' })
