// SPDX-License-Identifier: Apache-2.0
// Faults at the same time: hosts of every placement call guests all the time, and meanwhile guests, brokers, guards,
// workers and hosts themselves die, are short of descriptors or of address space, and are not read.
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoadOptions } from 'polyloop'
import type { HostPlan, Kind, Order, Report } from './chaos-orders.ts'
import { environmentOf, processes } from './processes.ts'
import { Random } from './random.ts'

/** What a chaos does, beside what a host does to itself. */
const ofHosts = ['host-killed', 'host-terminated', 'unread'] as const
type Fault = Kind | (typeof ofHosts)[number]

/** How much is done. */
export interface ChaosPlan {
  /** Over all cells. */
  readonly faults: number
  readonly seed: number
  readonly kinds: readonly Kind[]
}

/** What has come of it. */
export interface ChaosReport {
  readonly cells: number
  readonly faults: Readonly<Record<string, number>>
  readonly settled: number
  readonly rejected: Readonly<Record<string, number>>
  /** Milliseconds after the end of a host until nothing of it was left, at most. */
  readonly longestEnd: number
  readonly wrong: readonly string[]
}

const repository = fileURLToPath(new URL('../../', import.meta.url))
const program = join(repository, 'soak/dist/chaos-host.js')
const rust = `rust:${resolve(repository, process.env.CARGO_TARGET_DIR ?? 'target', 'release/libpolyloop_fixture.so')}`

const restart = { attempts: 1_000_000, minDelay: 5, maxDelay: 100 }
const placements: Readonly<Record<string, LoadOptions>> = {
  own: { placement: 'process', restart },
  'instances: 2': { placement: 'process', restart, instances: 2 },
  shared: { placement: 'process', restart, shared: 'chaos' },
}

/** Bounds that the programs of a host have: descriptors, and for some address space. */
const limits: readonly (readonly string[])[] = [['--nofile=200'], ['--nofile=200', '--as=12000000000']]

/** Processes that have this text in their environment, and have not ended. */
function marked(mark: string): number[] {
  return processes().filter((pid) => environmentOf(pid).includes(mark))
}

/** A host, and what was heard of it. */
class HostProcess {
  readonly child: ChildProcess
  readonly wrong: string[] = []
  readonly ended: Promise<void>
  settled = 0
  rejected: Readonly<Record<string, number>> = {}
  readonly #reports: Report[] = []
  #wake: (() => void) | undefined
  #error = ''

  constructor(plan: HostPlan, limit: readonly string[], environment: Readonly<Record<string, string>>) {
    const args = [...limit, process.execPath, program, JSON.stringify(plan)]
    this.child = spawn('prlimit', args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, ...environment },
    })
    this.child.stdout?.resume()
    this.child.stderr?.on('data', (text: Buffer) => {
      this.#error = (this.#error + text.toString()).slice(-2000)
    })
    this.child.on('message', (report: Report) => {
      if (report.type === 'wrong') this.wrong.push(report.what)
      else if (report.type !== 'ready') ({ settled: this.settled, rejected: this.rejected } = report)
      this.#reports.push(report)
      this.#wake?.()
    })
    this.ended = new Promise((resolve) => this.child.once('exit', () => resolve()))
    void this.ended.then(() => this.#wake?.())
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** Waits for what the host says next; false if it has ended instead. */
  async hear(type: Report['type']): Promise<boolean> {
    for (;;) {
      const index = this.#reports.findIndex((report) => report.type === type)
      if (index >= 0) {
        this.#reports.splice(0, index + 1)
        return true
      }
      if (this.isOver) return false
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async tell(order: Order, awaited: Report['type']): Promise<void> {
    this.child.send(order, () => {})
    if (!(await this.hear(awaited))) this.wrong.push(this.#ending(order.do))
  }

  #ending(what: string): string {
    const { exitCode, signalCode } = this.child
    return `the host has ended in '${what}' with ${signalCode ?? exitCode}: ${this.#error}`
  }
}

/** One placement of one language, from its first host to its last. */
class Cell {
  readonly faults: Record<string, number> = {}
  readonly wrong: string[] = []
  readonly rejected: Record<string, number> = {}
  settled = 0
  longestEnd = 0
  readonly #name: string
  readonly #random: Random
  readonly #kinds: readonly Fault[]
  readonly #folder: string
  readonly #mark: string
  readonly #plan: HostPlan
  readonly #environment: Readonly<Record<string, string>>

  constructor(name: string, locator: string, options: LoadOptions, random: Random, kinds: readonly Kind[]) {
    this.#name = name
    this.#random = random
    this.#kinds = [...kinds, ...ofHosts]
    this.#folder = mkdtempSync(join(tmpdir(), 'polyloop-chaos-'))
    copyFileSync(join(repository, 'conformance/fixtures/python/soaked.py'), join(this.#folder, 'guest.py'))
    this.#mark = `POLYLOOP_CHAOS=${process.pid}-${name}-${random.below(1 << 30)}`
    const [key, value] = this.#mark.split('=') as [string, string]
    this.#environment = { [key]: value, XDG_RUNTIME_DIR: this.#folder, TMPDIR: this.#folder }
    const place = locator === 'python' ? `python:${join(this.#folder, 'guest.py')}` : locator
    this.#plan = { locator: place, options, seed: random.below(1 << 30), outstanding: 16 }
  }

  async run(faults: number): Promise<void> {
    try {
      let host = await this.#start()
      for (let number = 0; number < faults; number++) {
        const fault = this.#kinds[number % this.#kinds.length] as Fault
        this.faults[fault] = (this.faults[fault] ?? 0) + 1
        host = await this.#play(host, fault)
        if (this.wrong.length > 10) break
      }
      if (!host.isOver) await host.tell({ do: 'end' }, 'ended')
      await this.#over(host)
    } finally {
      for (const pid of marked(this.#mark)) kill(pid, 'SIGKILL')
      rmSync(this.#folder, { recursive: true, force: true })
    }
  }

  async #start(): Promise<HostProcess> {
    const limit = limits[this.#random.below(limits.length)] as readonly string[]
    const host = new HostProcess({ ...this.#plan, seed: this.#random.below(1 << 30) }, limit, this.#environment)
    if (!(await host.hear('ready'))) host.wrong.push('a host did not start')
    return host
  }

  async #play(host: HostProcess, fault: Fault): Promise<HostProcess> {
    if (fault === 'unread') await unread(host, this.#random)
    else if (fault !== 'host-killed' && fault !== 'host-terminated') await host.tell({ do: fault }, 'done')
    else {
      await host.tell({ do: 'pool' }, 'done')
      host.child.kill(fault === 'host-killed' ? 'SIGKILL' : 'SIGTERM')
    }
    if (fault !== 'host-killed' && fault !== 'host-terminated' && !host.isOver) return host
    await this.#over(host)
    return this.#start()
  }

  /** Waits until nothing is left of a host that has ended, and counts what it has told. */
  async #over(host: HostProcess): Promise<void> {
    await host.ended
    const since = performance.now()
    while (marked(this.#mark).length > 0) await new Promise((resolve) => setTimeout(resolve, 2))
    this.longestEnd = Math.max(this.longestEnd, performance.now() - since)
    this.settled += host.settled
    for (const [code, count] of Object.entries(host.rejected)) this.rejected[code] = (this.rejected[code] ?? 0) + count
    this.wrong.push(...host.wrong.map((what) => `${this.#name}: ${what}`))
  }
}

/** Nobody reads what the host prints while its guest prints more than a pipe holds, and dies. */
async function unread(host: HostProcess, random: Random): Promise<void> {
  host.child.stdout?.pause()
  host.child.send({ do: 'print' } satisfies Order, () => {})
  await host.tell({ do: random.once(2) ? 'kill' : 'abort' }, 'done')
  host.child.stdout?.resume()
  if (!(await host.hear('done'))) host.wrong.push('the host has ended while nobody read it')
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}

/** Runs every cell, one after the other. `tell` hears of each. */
export async function chaos(plan: ChaosPlan, tell: (line: string) => void = () => {}): Promise<ChaosReport> {
  const random = new Random(plan.seed)
  const cells: Cell[] = []
  const names = ['rust', 'python'].flatMap((language) =>
    Object.keys(placements).map((name) => [language, name] as const),
  )
  for (const [language, name] of names) {
    const locator = language === 'rust' ? rust : 'python'
    const cell = new Cell(`${language}, ${name}`, locator, placements[name] as LoadOptions, random, plan.kinds)
    cells.push(cell)
    const began = performance.now()
    await cell.run(Math.ceil(plan.faults / names.length))
    const done = Object.values(cell.faults).reduce((sum, count) => sum + count, 0)
    const seconds = Math.round((performance.now() - began) / 1000)
    tell(`${language}, ${name}: ${done} faults, ${cell.settled} settled, ${cell.wrong.length} wrong, in ${seconds} s`)
  }
  return {
    cells: cells.length,
    faults: sum(cells.map(({ faults }) => faults)),
    settled: cells.reduce((total, { settled }) => total + settled, 0),
    rejected: sum(cells.map(({ rejected }) => rejected)),
    longestEnd: Math.max(...cells.map(({ longestEnd }) => longestEnd)),
    wrong: cells.flatMap(({ wrong }) => wrong),
  }
}

function sum(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {}
  for (const [name, count] of counts.flatMap((one) => Object.entries(one))) total[name] = (total[name] ?? 0) + count
  return total
}
