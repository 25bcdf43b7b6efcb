// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Cell } from './cell.ts'
import { type Machine, thisMachine } from './machine.ts'
import { type Options, UsageError } from './options.ts'
import { type Prepared, prepare } from './prepare.ts'
import type { Results } from './report/results.ts'
import { runCell } from './run-cell.ts'
import { PACES, schedule } from './schedule.ts'
import { Collection } from './stats.ts'
import { INSTALLED_NAMES, VARIANT_NAMES, type VariantName } from './variants/names.ts'

/** A variant that failed this often is not tried again: each time may cost a watchdog's patience. */
const FAILURES_ALLOWED = 2

const FAILED = 'failed'

/** Whether Polyloop itself failed, rather than a rival, or rather than was not there. */
export function polyloopFailed({ machine }: Results): boolean {
  const reasons = [machine.missing['polyloop-rust'], machine.missing['polyloop-python']]
  return reasons.some((reason) => reason?.startsWith(FAILED))
}

/** Measures all that the options ask for. Whatever it started has ended, and its folder is gone, when it settles. */
export async function run(root: string, options: Options, signal: AbortSignal): Promise<Results> {
  if (options.cpu !== null) requirePinning(options.cpu)
  const scratch = mkdtempSync(join(tmpdir(), 'polyloop-bench-'))
  try {
    return await measureAll(root, scratch, options, signal)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** @throws UsageError where processes cannot be pinned as asked */
function requirePinning(cpu: number): void {
  const { status, error } = spawnSync('taskset', ['-c', String(cpu), 'true'], { stdio: 'ignore' })
  if (error !== undefined) throw new UsageError('--cpu needs taskset, of the package util-linux')
  if (status !== 0) throw new UsageError(`--cpu ${cpu}: there is no such processor, or it may not be used`)
}

async function measureAll(root: string, scratch: string, options: Options, signal: AbortSignal): Promise<Results> {
  const pace = PACES[options.extent]
  const isInstalling = options.only.some((name) => INSTALLED_NAMES.includes(name))
  const prepared = await prepare(root, scratch, isInstalling ? pace.installMs : 0, signal)
  signal.throwIfAborted()
  const machine: Machine = { ...thisMachine(prepared.pythonVersion), missing: wantedOnly(prepared, options) }
  const variants = options.only.filter((name) => machine.missing[name] === undefined)
  const cells = schedule(options, { variants, processors: machine.processors })
  const collection = new Collection(machine.processors)
  // Counted from the start of the process, so that installing takes from it too.
  const session: Session = {
    cells,
    collection,
    machine,
    endsAt: pace.budgetMs,
    signal,
    failures: new Map<VariantName, number>(),
  }
  machine.notes.push(...extentNotes(options))
  await runCells(session, prepared)
  return { rows: collection.rows(), machine }
}

interface Session {
  cells: readonly Cell[]
  collection: Collection
  machine: Machine
  endsAt: number
  signal: AbortSignal
  failures: Map<VariantName, number>
}

async function runCells(session: Session, { tools }: Prepared): Promise<void> {
  for (const [index, cell] of session.cells.entries()) {
    const remaining = session.endsAt - performance.now()
    if (remaining < cell.warmMs + cell.measureMs + 500) {
      session.machine.notes.push(`The time ended after ${index} of ${session.cells.length} measurements: fewer runs.`)
      return
    }
    if (namesOf(cell).some((name) => (session.failures.get(name) ?? 0) >= FAILURES_ALLOWED)) continue
    progress(`${index + 1}/${session.cells.length} ${cell.bench} ${cell.variant} ${cell.bytes} B x${cell.outstanding}`)
    try {
      const patience = Math.round(Math.min(60_000, Math.max(3000, remaining / 4)))
      session.collection.add(cell, await runCell(cell, tools, session.signal, patience))
    } catch (error) {
      session.signal.throwIfAborted()
      recordFailure(session, cell, error)
    }
  }
  progress('')
}

function recordFailure(session: Session, cell: Cell, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  // Kept with the results, where a folder of this machine has no meaning.
  const first = reason.split('\n', 1)[0]?.replace(/(\/[\w.@+-]+){2,}/g, (path) => basename(path))
  progress('')
  process.stderr.write(`${cell.bench} ${cell.variant} ${cell.bytes} B x${cell.outstanding} FAILED: ${reason}\n`)
  for (const name of namesOf(cell)) {
    session.failures.set(name, (session.failures.get(name) ?? 0) + 1)
    session.machine.missing[name] ??= `${FAILED}: ${first}`
  }
}

function namesOf(cell: Cell): VariantName[] {
  return VARIANT_NAMES.filter((name) => cell.variant.split('+').includes(name))
}

function wantedOnly(prepared: Prepared, options: Options): Machine['missing'] {
  return Object.fromEntries(
    options.only.flatMap((name) => {
      const reason = prepared.missing[name]
      return reason === undefined ? [] : [[name, reason]]
    }),
  )
}

function extentNotes(options: Options): string[] {
  const notes = []
  if (options.extent === 'quick')
    notes.push('Quick: two sizes, no 1,024 outstanding, short and few runs; without --quick it measures all.')
  if (options.extent === 'smoke') notes.push('Smoke: a few milliseconds a measurement; the figures mean nothing.')
  if (options.cpu !== null) notes.push(`All processes were pinned to processor ${options.cpu}.`)
  return notes
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`)
}
