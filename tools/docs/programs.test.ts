// SPDX-License-Identifier: Apache-2.0
// Every example of the documents is run. docs/README.md has the rules.
import { beforeAll, describe, expect, it } from 'vitest'
import { exec } from '../common/exec.ts'
import { examplesOfAll, readDocuments } from './all.ts'
import { commandsOf, isRequest } from './commands.ts'
import { buildLibraries, compile, makeVenv, type Placed, place, type Ran, run, uncalled } from './workshop.ts'

const WATCHDOG = 10 * 60_000

const examples = examplesOfAll(await readDocuments())
const placed = place(examples)

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

  it.each(placed.map((one) => ({ at: `${one.program.document}:${one.program.line}`, one })))(
    '$at runs, and prints what the document says',
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

describe('the commands of the documents that take a moment', () => {
  const all = examples.flatMap(({ document, commands }) =>
    commands.flatMap((block) => {
      const texts = commandsOf(block)
      if (texts.some(isRequest)) return []
      const programs = texts.filter(({ text }) => text.startsWith('node '))
      return programs.map((program) => ({ at: `${document}:${program.line}`, program }))
    }),
  )

  it.each(all)(
    'at $at print what the document says, but for the digits in it',
    { timeout: WATCHDOG },
    async ({ program: { text, output: expected } }) => {
      const [, ...args] = text.split(' ').map((word) => word.replaceAll("'", ''))
      const { ended, stdout, output } = await exec(process.execPath, args)
      // Versions and counts change.
      const alike = (printed: string): string => printed.replaceAll(/\d+/g, '#')
      expect(ended, output).toBeUndefined()
      if (expected !== undefined) expect(alike(stdout)).toBe(alike(expected))
    },
  )

  it('are there', () => expect(all.length).toBeGreaterThan(3))
})
