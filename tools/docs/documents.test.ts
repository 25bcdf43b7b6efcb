// SPDX-License-Identifier: Apache-2.0
// Everything that documents refer to is there. docs/README.md has the rules.
import { expect, it } from 'vitest'
import { root } from '../common/exec.ts'
import { examplesOfAll, readDocuments } from './all.ts'
import { checkCommand, commandsOf, isCommand } from './commands.ts'
import { codeSpans } from './markdown.ts'
import { checkLinks, checkOrphans, checkPaths, checkWidths } from './references.ts'

const documents = await readDocuments()
const examples = examplesOfAll(documents)

it('the documents have programs, guests in both languages, and commands', () => {
  expect(documents.length).toBeGreaterThan(15)
  for (const kind of ['programs', 'modules', 'libraries', 'commands'] as const) {
    expect(examples.flatMap((each): readonly unknown[] => each[kind]).length, kind).toBeGreaterThan(3)
  }
})

it('no block of theirs is covered by no rule', () => {
  expect(examples.flatMap(({ problems }) => problems)).toEqual([])
})

it('they link to what is there', () => expect(checkLinks(documents, root)).toEqual([]))
it('those in docs are linked to', () => expect(checkOrphans(documents, 'docs')).toEqual([]))
it('they name files that are there', () => expect(checkPaths(documents, root)).toEqual([]))

it('they are wrapped at a hundred columns', () => {
  expect(checkWidths(documents)).toEqual([])
})

it('their commands exist, in blocks and between backticks', async () => {
  const spans = documents
    .filter(({ path }) => examples.some(({ document }) => document === path))
    .flatMap((document) => codeSpans(document).map(({ number, text }) => ({ at: `${document.path}:${number}`, text })))
    .filter(({ text }) => isCommand(text))
  const lines = examples.flatMap(({ document, commands }) =>
    commands.flatMap(commandsOf).map(({ line, text }) => ({ at: `${document}:${line}`, text })),
  )
  expect(spans.length).toBeGreaterThan(3)
  expect(lines.length).toBeGreaterThan(10)
  for (const { at, text } of [...spans, ...lines]) expect(await checkCommand(text), at).toBeUndefined()
})
