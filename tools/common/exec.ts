// SPDX-License-Identifier: Apache-2.0
// Running a command to its end, with a watchdog.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the repository, without a slash at its end. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)))

/** This file runs as it is and as it was built, which are at different depths. */
function findRoot(folder: string): string {
  return existsSync(join(folder, 'Cargo.lock')) ? folder : findRoot(dirname(folder))
}

/** How a command ended. */
export interface Finished {
  /** What it printed on stdout. */
  stdout: string
  /** What it printed on stdout and stderr, as it came. */
  output: string
  /** How it failed; undefined if it ended with exit code 0. */
  ended: string | undefined
}

/** How to run a command. */
export interface ExecOptions {
  /** Added to the environment. */
  env?: Record<string, string>
  /** Where it runs, if not in the root of the repository. */
  cwd?: string
  /** Milliseconds after which the command and what it started are killed; long, for a busy machine is slow. */
  watchdog?: number
}

/** Runs a command in the root of the repository; it never rejects. */
export function exec(command: string, args: readonly string[], options: ExecOptions = {}): Promise<Finished> {
  const { env = {}, cwd = root, watchdog = 60 * 60_000 } = options
  return new Promise((resolve) => {
    // A process group of its own, so that the watchdog reaches what the command started.
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let stdout = ''
    let output = ''
    let late = false
    const timer = setTimeout(() => {
      late = true
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    }, watchdog)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      output += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    const finish = (ended: string | undefined): void => {
      clearTimeout(timer)
      resolve({ stdout, output, ended: late ? `killed after ${watchdog / 1000} s` : ended })
    }
    child.on('error', (error) => finish(error.message))
    child.on('close', (code, signal) => finish(code === 0 ? undefined : (signal ?? `exit code ${code}`)))
  })
}

/** The path of a program that tools/setup/python-tools.txt has installed. */
export const pythonTool = (name: string): string => `${root}/.cache/venvs/tools/bin/${name}`

/** Runs the program of an npm package that is installed in the root, e.g. `vitest/vitest.mjs`. */
export function tool(path: string, args: readonly string[], options: ExecOptions = {}): Promise<Finished> {
  return exec(process.execPath, [`node_modules/${path}`, ...args], options)
}
