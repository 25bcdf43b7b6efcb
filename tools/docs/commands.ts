// SPDX-License-Identifier: Apache-2.0
// The commands of documents: they exist, with their scripts, options and files.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec, root } from '../common/exec.ts'
import { sources } from '../common/files.ts'
import type { Block } from './markdown.ts'

/** A line of a block of `sh`. */
export interface Command {
  readonly line: number
  readonly text: string
  /** The comment lines below it: what it prints. */
  readonly output: string | undefined
}

/** The commands of a block. */
export function commandsOf({ text, line }: Pick<Block, 'text' | 'line'>): Command[] {
  const commands: { line: number; text: string; output: string | undefined }[] = []
  for (const [index, each] of text.split('\n').entries()) {
    const last = commands.at(-1)
    if (each.trim() === '') continue
    if (each.startsWith('# ') && last !== undefined) last.output = `${last.output ?? ''}${each.slice(2)}\n`
    else commands.push({ line: line + index, text: each.replace(/\s+#\s.*$/, ''), output: undefined })
  }
  return commands
}

/** Whether what stands between backticks is a command that can be checked. */
export function isCommand(text: string): boolean {
  return /^(?:npm (?:start|test)$|npm (?:run|test) |npx |cargo )/.test(text)
}

/** Whether a command asks a service, which the command above it starts. */
export function isRequest({ text }: Pick<Command, 'text'>): boolean {
  return text.startsWith('curl ')
}

/** What is wrong with a command; undefined if nothing is. */
export async function checkCommand(text: string): Promise<string | undefined> {
  const all = text.trim().split(/\s+/)
  const start = all.findIndex((word) => !/^[A-Z_]+=/.test(word))
  const variables = all.slice(0, start).map((word) => word.split('=')[0] ?? '')
  const words = all.slice(start)
  const rule = RULES.find(({ pattern }) => pattern.test(words.join(' ')))
  if (rule === undefined) return `no rule covers '${text}' (tools/docs/commands.ts)`
  return rule.check(words, variables)
}

interface Rule {
  readonly pattern: RegExp
  /** What is wrong with the words of a command, or the environment variables before it. */
  check(words: readonly string[], variables: readonly string[]): string | undefined | Promise<string | undefined>
}

const RULES: readonly Rule[] = [
  { pattern: /^npm (?:start|test)$/, check: ([, name = '']) => script(name) },
  { pattern: /^npm run [\w:]+$/, check: ([, , name = '']) => script(name) },
  { pattern: /^npm run bench -- /, check: ([, , name = '', , ...args]) => script(name) ?? benchOptions(args) },
  { pattern: /^npx vitest run(?: [\w./-]+)+$/, check: (words, names) => files(words.slice(3)) ?? unread(names) },
  { pattern: /^npx tsc -b$/, check: () => files(['node_modules/typescript/bin/tsc']) },
  { pattern: /^node examples\/dist\/\S+\.js(?: |$)/, check: ([, path = '']) => files([sourceOf(path)]) },
  { pattern: /^cargo (?:build|test) (?:--release )?-p \S+$/, check: (words) => crate(words.at(-1) ?? '') },
  { pattern: /^cargo build --release$/, check: () => undefined },
  { pattern: /^python3 -m venv \S+$/, check: () => undefined },
  // Run by the tests, with the service above it.
  { pattern: /^curl /, check: () => undefined },
  { pattern: /^\S+\/bin\/pip install -r \S+$/, check: (words) => files(words.slice(-1)) },
  { pattern: /^\S+\/bin\/pip install [\w-]+$/, check: () => undefined },
]

function files(paths: readonly string[]): string | undefined {
  const missing = paths.find((path) => !existsSync(join(root, path)))
  return missing === undefined ? undefined : `there is no ${missing}`
}

function script(name: string): string | undefined {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
  return Object.hasOwn(scripts, name) ? undefined : `package.json has no script '${name}'`
}

/** With `--help` the benchmark reads its options and does nothing. */
async function benchOptions(args: readonly string[]): Promise<string | undefined> {
  const { ended, output } = await exec(process.execPath, ['benchmark/dist/main.js', ...args, '--help'])
  return ended === undefined ? undefined : output.split('\n', 1)[0]
}

/** An environment variable that no source reads. */
function unread(names: readonly string[]): string | undefined {
  const texts = sources('hosts/node', ['.ts']).map(({ text }) => text)
  const missing = names.find((name) => !texts.some((text) => text.includes(name)))
  return missing === undefined ? undefined : `nothing reads ${missing}`
}

function crate(name: string): string | undefined {
  const lock = readFileSync(join(root, 'Cargo.lock'), 'utf8')
  return lock.includes(`name = "${name}"\n`) ? undefined : `there is no crate ${name}`
}

function sourceOf(path: string): string {
  return path.replace('/dist/', '/').replace(/\.js$/, '.ts')
}
