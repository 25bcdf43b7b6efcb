// SPDX-License-Identifier: Apache-2.0
import { execFileSync, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { figure, print, title } from './print.ts'

/** Of the benchmark's variants; the first is what the others are compared with. */
const VARIANTS = [
  { variant: 'uds-c', name: 'C server, unix socket' },
  { variant: 'polyloop-rust', name: 'Rust guest, threads' },
  { variant: 'polyloop-python-process', name: 'Python guest, process' },
] as const

const LOADS = [
  { outstanding: 1, bytes: 512 },
  { outstanding: 1, bytes: 10_240 },
  { outstanding: 64, bytes: 512 },
  { outstanding: 64, bytes: 10_240 },
] as const

/** After this no further round begins: a slow machine measures less. */
const ENOUGH_MS = 15_000

type Load = (typeof LOADS)[number]

/** What the process of one measurement says at its end; see benchmark/src/child.ts. */
interface Answer {
  sample?: { perSecond: number }
  error?: string
}

/** How the tour measures: up to `rounds` of all measurements, each of which takes `measureMs` beside its start. */
export interface Pace {
  rounds: number
  measureMs: number
}

export async function cost(pace: Pace): Promise<void> {
  title(6, 'What a call costs beside a unix domain socket: bytes there and back')
  print('   Measured in fresh processes, for some ten seconds ...\n')
  const scratch = mkdtempSync(join(tmpdir(), 'polyloop-tour-'))
  const tidy = (): void => rmSync(scratch, { recursive: true, force: true })
  process.once('exit', tidy)
  try {
    const echoServer = join(scratch, 'echo')
    execFileSync('cc', ['-O2', '-o', echoServer, 'benchmark/servers/echo.c'])
    const tools = { root: process.cwd(), scratch, python: 'python3', echoServer, copyLibrary: '' }
    printTable(await measureAll(pace, tools))
  } finally {
    process.off('exit', tidy)
    tidy()
  }
}

/** Microseconds a call, medians: a row for each variant, a column for each load. */
async function measureAll({ rounds, measureMs }: Pace, tools: object): Promise<number[][]> {
  const samples = VARIANTS.map(() => LOADS.map((): number[] => []))
  // Variants alternate, so that what disturbs the machine for a while disturbs all of them.
  const enough = performance.now() + ENOUGH_MS
  for (let round = 0; round === 0 || (round < rounds && performance.now() < enough); round++) {
    for (const [column, load] of LOADS.entries()) {
      for (const [row, { variant }] of VARIANTS.entries()) {
        samples[row]?.[column]?.push(1e6 / (await measure(variant, load, measureMs, tools)))
      }
    }
  }
  return samples.map((row) => row.map((cell) => median(cell)))
}

/** Of an even number the lower one: alike for all, and it is disturbances that are slow. */
function median(values: number[]): number {
  return values.sort((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN
}

function printTable(rows: number[][]): void {
  printRow('', ['one at a time', '', '64 at a time', ''])
  printRow('', ['512 B', '10 KB', '512 B', '10 KB'])
  const [baseline = []] = rows
  for (const [index, { name }] of VARIANTS.entries()) {
    const micros = rows[index] ?? []
    const ratios = micros.map((it, column) => (index === 0 ? '' : times((baseline[column] ?? 0) / it)))
    const cells = micros.map((it, column) => `${figure(it)} µs ${ratios[column]}`)
    printRow(name, cells)
  }
  print('\n   Microseconds a call, and how many times as fast as the socket. Medians of short runs.')
}

function printRow(name: string, cells: string[]): void {
  print(`   ${name.padEnd(24)}${cells.map((it) => it.padEnd(16)).join('')}`.trimEnd())
}

function times(ratio: number): string {
  return `${ratio.toFixed(ratio < 10 ? 1 : 0)}x`
}

/** Calls a second, measured by the benchmark's own process for one measurement. */
function measure(variant: string, load: Load, measureMs: number, tools: object): Promise<number> {
  const cell = { bench: 'echo', variant, ...load, pin: null, warmMs: measureMs / 2, measureMs }
  const child = fork('benchmark/dist/child.js', [JSON.stringify({ cell, tools })], { stdio: ['ignore', 2, 2, 'ipc'] })
  return new Promise((resolve, reject) => {
    let answer: Answer = {}
    child.on('message', (message) => {
      answer = message as Answer
    })
    child.once('error', reject)
    child.once('exit', (code) => {
      if (code === 0 && answer.sample !== undefined) resolve(answer.sample.perSecond)
      else reject(new Error(`measuring ${variant}: ${answer.error ?? `it ended with code ${code}`}`))
    })
  })
}
