// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Row } from './stats.ts'
import { ECHO_NAMES, STREAM_NAMES } from './variants/names.ts'

// The built program: Node 20 does not run TypeScript, and the processes of the cells are fresh ones.
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'polyloop-main-'))
afterAll(() => rmSync(folder, { recursive: true }))

const readmes = ['--readme', 'README.md', '--readme', 'all.md']

/** Runs the benchmark with the folder for its sockets inside ours. */
function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, INIT_CWD: folder, TMPDIR: folder }
  return spawnSync(process.execPath, [MAIN, ...args], { env, encoding: 'utf8' })
}

describe('a tiny run', () => {
  let result: ReturnType<typeof bench>
  let rows: Row[]
  beforeAll(() => {
    writeFileSync(join(folder, 'README.md'), '<!-- bench:summary:start -->\n<!-- bench:summary:end -->\n')
    writeFileSync(join(folder, 'all.md'), '<!-- bench:start -->\n<!-- bench:end -->\n')
    result = bench('--smoke', '--json', 'bench.json', '--chart', 'bench.svg', ...readmes)
    rows = JSON.parse(readFileSync(join(folder, 'bench.json'), 'utf8')) as Row[]
  })

  it('succeeds, however slow it was', () => {
    expect(result).toMatchObject({ status: 0 })
    expect(result.stderr).not.toContain('FAILED')
  })

  it('measures every variant, or says why not', () => {
    for (const name of ECHO_NAMES) {
      const measured = rows.filter((row) => row.bench === 'echo' && row.variant === name)
      if (measured.length === 0) expect(result.stdout).toContain(`${name}: not measured: `)
      else expect(measured.map((row) => row.outstanding)).toEqual([1, 64])
    }
    for (const name of STREAM_NAMES) {
      const measured = rows.filter((row) => row.bench === 'stream' && row.variant === name)
      if (measured.length === 0) expect(result.stdout).toContain(`${name}: not measured: `)
      else expect(measured.map((row) => row.bytes)).toEqual([64])
    }
    // These need nothing but what builds Polyloop.
    const names = new Set(rows.map((row) => row.variant))
    for (const name of [
      'polyloop-rust',
      'polyloop-python',
      'uds-c',
      'uds-python',
      'post-message',
      'uds-objects',
    ] as const) {
      expect(names).toContain(name)
    }
  })

  it('writes rows of exactly the fields that were promised', () => {
    for (const row of rows) {
      const fields = ['bench', 'variant', 'bytes', 'outstanding', 'cpus', 'runs', 'perSecond', 'loopDelayP99Ms']
      expect(Object.keys(row)).toEqual(fields)
      expect(Object.keys(row.perSecond)).toEqual(['median', 'min', 'max'])
    }
  })

  it('draws, writes and reports the same again from its file', () => {
    const texts = (): string[] => ['README.md', 'all.md'].map((name) => readFileSync(join(folder, name), 'utf8'))
    const before = texts()
    const again = bench('--from', 'bench.json', '--chart', 'again.svg', ...readmes)
    expect(again).toMatchObject({ status: 0, stdout: result.stdout })
    expect(before.every((text) => text.includes('Rust guest, threads'))).toBe(true)
    expect(texts()).toEqual(before)
    expect(readFileSync(join(folder, 'again.svg'))).toEqual(readFileSync(join(folder, 'bench.svg')))
  })

  it('leaves no socket behind', () => {
    expect(readdirSync(folder).filter((name) => name.startsWith('polyloop-bench-'))).toEqual([])
  })
})

it('an interrupted run ends at once and leaves no socket behind', async () => {
  const env = { ...process.env, TMPDIR: folder }
  const child = spawn(process.execPath, [MAIN, '--only', 'uds-c,uds-python'], { env, stdio: 'ignore' })
  const exited = once(child, 'exit')
  while (socketsIn(folder).length === 0) {
    // What ends before it has a socket never has one.
    expect(child.exitCode).toBe(null)
    await sleep(10)
  }
  child.kill('SIGINT')
  expect(await exited).toEqual([1, null])
  expect(readdirSync(folder).filter((name) => name.startsWith('polyloop-bench-'))).toEqual([])
})

function socketsIn(parent: string): string[] {
  const [scratch] = readdirSync(parent).filter((name) => name.startsWith('polyloop-bench-'))
  return scratch === undefined ? [] : readdirSync(join(parent, scratch))
}

it.each([[['--fast']], [['--cpu', '4095']]])("a mistake of the caller's is explained: %j", (args) => {
  const result = bench(...args)
  expect(result.status).toBe(2)
  expect(result.stderr).toContain(args[0])
  expect(result.stderr).toContain('npm run bench -- [options]')
})
