// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { inRoot } from './paths.ts'

/** How a child process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A module of the package as it was built. */
export const dist = (file: string): string => pathToFileURL(inRoot(`hosts/node/dist/${file}`)).href

/** What every script begins with; the package as it was built, for a child cannot read TypeScript. */
const head = `
import { load } from '${dist('index.js')}'
import { msgpack } from '${dist('msgpack.js')}'
const say = (value) => console.log(JSON.stringify(value) ?? 'undefined')
const outcome = (promise) => promise.then((value) => ['resolved', value], (e) => ['rejected', e.code, e.message])
const turns = async (count) => { for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve)) }
`

/**
 * Runs a script of this Node.js in a process of its own, which has nothing of the tests'.
 *
 * @param options - `limits` as prlimit takes them
 */
export function script(
  source: string,
  {
    node = [],
    env = process.env,
    limits = [],
  }: { node?: readonly string[]; env?: NodeJS.ProcessEnv; limits?: readonly string[] } = {},
): Promise<Ended> {
  const command = [process.execPath, ...node, '--input-type=module', '--eval', head + source]
  const [program, ...args] = limits.length === 0 ? command : ['prlimit', ...limits, ...command]
  return new Promise((resolve) => {
    const options = { env: { ...env, NODE_OPTIONS: '' }, timeout: 240_000, killSignal: 'SIGKILL' } as const
    const child = execFile(program as string, args, options, (_, stdout, stderr) => {
      resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr })
    })
  })
}

/** The values that a script says; it must end well and leave stderr empty. */
export async function said(source: string, options: Parameters<typeof script>[1] = {}): Promise<unknown[]> {
  const { code, signal, stdout, stderr } = await script(source, options)
  if (code !== 0 || stderr !== '') throw new Error(`it ended with ${code ?? signal}:\n${stderr}\n${stdout}`)
  return stdout
    .trim()
    .split('\n')
    .map((line) => (line === 'undefined' ? undefined : (JSON.parse(line) as unknown)))
}
