// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { rivalsFolder } from './rivals.ts'
import type { Tools } from './variants/echo.ts'
import { pythonFixture, rustFixture } from './variants/fixtures.ts'
import type { VariantName } from './variants/names.ts'

const OURS = [
  'polyloop-rust',
  'polyloop-python',
  'polyloop-rust-process',
  'polyloop-python-process',
  'polyloop-rust-shared',
] as const

/** What could be built or found, and why a variant cannot be measured. */
export interface Prepared {
  tools: Tools
  pythonVersion: string
  missing: Partial<Record<VariantName, string>>
}

/**
 * Builds the servers and installs the rivals, where that has not been done; nothing that fails here is fatal.
 * @param installMs how long installing may take; with 0, rivals are used only if they are there
 * @param signal ends the installing
 */
export async function prepare(
  root: string,
  scratch: string,
  installMs: number,
  signal: AbortSignal,
): Promise<Prepared> {
  const python = output('python3', ['-c', 'import sys; print(sys.executable)'])
  const pythonVersion = output('python3', ['-c', 'import platform; print(platform.python_version())'])
  const echoServer = compile(root, 'echo.c', [])
  const copyLibrary = compile(root, 'copy.c', ['-shared', '-fPIC'])
  const tools: Tools = { root, scratch, python, echoServer, copyLibrary }
  if (installMs > 0) await installRivals(rivalsFolder(root), AbortSignal.any([signal, AbortSignal.timeout(installMs)]))
  return { tools, pythonVersion, missing: whatIsMissing(tools) }
}

function output(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim()
  } catch {
    return ''
  }
}

// The cache is named after the source: a changed source is compiled again.
function compile(root: string, source: string, flags: readonly string[]): string {
  const path = join(root, 'benchmark/servers', source)
  const cache = join(root, 'benchmark/.cache')
  const hash = createHash('sha256').update(readFileSync(path)).update(flags.join()).digest('hex').slice(0, 12)
  const built = join(cache, `${source.replace('.c', '')}-${hash}`)
  if (existsSync(built)) return built
  mkdirSync(cache, { recursive: true })
  const unfinished = `${built}.${process.pid}`
  try {
    execFileSync('cc', ['-O2', ...flags, '-o', unfinished, path], { stdio: ['ignore', 'inherit', 'inherit'] })
  } catch {
    return ''
  }
  renameSync(unfinished, built)
  return built
}

async function installRivals(folder: string, signal: AbortSignal): Promise<void> {
  const lock = join(folder, 'package-lock.json')
  const done = join(folder, 'node_modules/.package-lock.json')
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return
  process.stderr.write('installing what the benchmark compares with (once) ...\n')
  // A group of its own, for what npm starts must end with it.
  const npm = spawn('npm', ['ci'], { cwd: folder, env: plainEnvironment(), stdio: 'ignore', detached: true })
  const stop = (): void => {
    if (npm.pid !== undefined && npm.exitCode === null) process.kill(-npm.pid, 'SIGKILL')
  }
  signal.addEventListener('abort', stop)
  await once(npm, 'close').catch(() => {})
  signal.removeEventListener('abort', stop)
}

// npm hands its own workspace and folder down to what it runs; a second npm would take them for its own.
function plainEnvironment(): NodeJS.ProcessEnv {
  const inherited = /^npm_config_(workspaces?|local_prefix|include_workspace_root)$/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !inherited.test(name)))
}

function whatIsMissing(tools: Tools): Prepared['missing'] {
  const missing: Prepared['missing'] = {}
  const check = (names: readonly VariantName[], reason: string | undefined): void => {
    for (const name of names) if (reason !== undefined) missing[name] ??= reason
  }
  const unbuilt = (path: string): string | undefined =>
    existsSync(path) ? undefined : `there is no ${relative(tools.root, path)}: npm run build makes it`
  check(OURS, unbuilt(join(tools.root, 'hosts/node/dist/index.js')))
  check(['polyloop-rust', 'polyloop-rust-process', 'polyloop-rust-shared'], unbuilt(rustFixture(tools.root)))
  check(['polyloop-python', 'polyloop-python-process'], unbuilt(pythonFixture(tools.root)))
  if (tools.python === '')
    check(['polyloop-python', 'polyloop-python-process', 'uds-python', 'node-calls-python'], 'there is no python3')
  if (tools.echoServer === '') check(['uds-c'], 'cc did not compile servers/echo.c')
  if (tools.copyLibrary === '') check(['koffi'], 'cc did not compile servers/copy.c')
  check(['koffi'], whyNotLoadable(tools.root, 'koffi'))
  check(['node-calls-python'], whyNotLoadable(tools.root, 'node-calls-python'))
  check(['grpc-js'], whyNotLoadable(tools.root, '@grpc/grpc-js'))
  return missing
}

function whyNotLoadable(root: string, name: string): string | undefined {
  try {
    // In a process of its own: a native add-on stays in the process that loads it.
    const script = `require(require('node:module').createRequire(process.argv[1]).resolve(process.argv[2]))`
    execFileSync(process.execPath, ['-e', script, join(rivalsFolder(root), 'package.json'), name], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'it is not installed; `npm ci` in benchmark/rivals installs it or says why not'
  }
}
