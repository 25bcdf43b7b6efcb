// SPDX-License-Identifier: Apache-2.0
// Every example of the documents is run, and everything that they refer to is there. docs/README.md has the rules.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { exec, root } from '../common/exec.ts'
import { checkCommand, commandsOf, isCommand } from './commands.ts'
import { examplesOf } from './examples.ts'
import { codeSpans, parseDocument } from './markdown.ts'
import { checkLinks, checkOrphans, checkPaths, checkWidths } from './references.ts'
import { curl, serve } from './service.ts'
import { buildLibraries, compile, makeVenv, type Placed, place, type Ran, run, uncalled } from './workshop.ts'

const WATCHDOG = 10 * 60_000

const listed = await exec('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'])
const documents = listed.stdout
  .trim()
  .split('\n')
  .filter((path) => existsSync(join(root, path)))
  .map((path) => parseDocument(path, readFileSync(join(root, path), 'utf8')))

/** Those whose examples are run. */
const written = documents.filter(({ path }) =>
  /^(?:docs\/.*\.md|(?:(?:benchmark|examples|examples\/.*|guests\/[^/]*)\/)?README\.md)$/.test(path),
)
const examples = written.map(examplesOf)
const placed = place(examples)

describe('the documents', () => {
  it('have programs, guests in both languages, and commands', () => {
    expect(documents.length).toBeGreaterThan(15)
    expect(placed.length).toBeGreaterThan(15)
    for (const kind of ['modules', 'libraries', 'commands'] as const) {
      expect(examples.flatMap((each): readonly unknown[] => each[kind]).length, kind).toBeGreaterThan(3)
    }
  })

  it('have no block that no rule covers', () => expect(examples.flatMap(({ problems }) => problems)).toEqual([]))
  it('link to what is there', () => expect(checkLinks(documents, root)).toEqual([]))
  it('in docs are linked to', () => expect(checkOrphans(documents, 'docs')).toEqual([]))
  it('name files that are there', () => expect(checkPaths(documents, root)).toEqual([]))
  it('are wrapped at a hundred columns', () => {
    // Those that are not wrapped yet.
    expect(checkWidths(documents.filter(({ path }) => !/^(?:ARCHITECTURE|CONTRIBUTING)\.md$/.test(path)))).toEqual([])
  })
})

describe('the programs of the documents', () => {
  const ran: { placed: Placed; calls: Ran['calls'] }[] = []
  let compiled: string[]
  beforeAll(async () => {
    expect(await makeVenv()).toMatchObject({ ended: undefined })
    compiled = await compile(placed)
  }, WATCHDOG)

  it('call Rust guests that compile', { timeout: WATCHDOG }, async () => {
    const { ended, output } = await buildLibraries(examples.flatMap(({ libraries }) => libraries))
    expect(ended, output).toBeUndefined()
  })

  it('are of the right types', () => expect(compiled).toEqual([]))

  it.each(placed.map((one) => ({ name: `${one.program.document}:${one.program.line}`, one })))(
    '$name runs, and prints what the document says',
    { timeout: WATCHDOG },
    async ({ one }) => {
      const { ended, output, stdout, calls } = await run(one)
      ran.push({ placed: one, calls })
      expect(ended, output).toBeUndefined()
      if (one.program.output !== undefined) expect(stdout).toBe(one.program.output)
    },
  )

  it('call every function of the Python guests beside them', () => {
    const modules = examples.flatMap((each) => each.modules)
    expect(uncalled(modules, ran)).toEqual([])
  })
})

describe('the commands of the documents', () => {
  const all = written.flatMap((document, index) =>
    (examples[index]?.commands ?? []).map((block) => ({ name: `${document.path}:${block.line}`, block })),
  )

  it.each(all)(
    '$name exist, and those that take a moment do what the document says',
    { timeout: WATCHDOG },
    async ({ block }) => {
      const commands = commandsOf(block)
      expect(commands.length).toBeGreaterThan(0)
      const curls = commands.filter(({ text }) => text.startsWith('curl '))
      const others = commands.filter((command) => !curls.includes(command))
      for (const { text } of others) expect(await checkCommand(text), text).toBeUndefined()
      const programs = others.filter(({ text }) => text.startsWith('node '))
      if (curls.length > 0)
        await ask(
          programs[0]?.text ?? '',
          curls.map(({ text }) => text),
        )
      else for (const { text, output } of programs) await print(text, output)
    },
  )

  it('between backticks exist', { timeout: WATCHDOG }, async () => {
    const spans = written.flatMap((document) =>
      codeSpans(document)
        .filter(({ text }) => isCommand(text))
        .map(({ number, text }) => ({ at: `${document.path}:${number}`, text })),
    )
    expect(spans.length).toBeGreaterThan(3)
    for (const { at, text } of spans) expect(await checkCommand(text), at).toBeUndefined()
  })
})

/** Has a service answer requests. */
async function ask(program: string, curls: readonly string[]): Promise<void> {
  const service = await serve(program.split(' ')[1] ?? '')
  try {
    for (const command of curls) expect((await curl(command, service.origin)).status, command).toBe(200)
  } finally {
    expect(await service.end()).toBe(0)
  }
}

/** Has a program print what a document says, but for the digits in it: versions and counts change. */
async function print(command: string, expected: string | undefined): Promise<void> {
  const [, ...args] = command.split(' ').map((word) => word.replaceAll("'", ''))
  const { ended, stdout, output } = await exec(process.execPath, args)
  const alike = (text: string): string => text.replaceAll(/\d+/g, '#')
  expect(ended, output).toBeUndefined()
  if (expected !== undefined) expect(alike(stdout)).toBe(alike(expected))
}
