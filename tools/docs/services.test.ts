// SPDX-License-Identifier: Apache-2.0
// What the documents have curl ask of an example that serves HTTP. docs/README.md has the rules.
import { expect, it } from 'vitest'
import { examplesOfAll, readDocuments } from './all.ts'
import { commandsOf, isRequest } from './commands.ts'
import { curl, serve } from './service.ts'

const services = examplesOfAll(await readDocuments()).flatMap(({ document, commands }) =>
  commands
    .map((block) => ({ at: `${document}:${block.line}`, texts: commandsOf(block).map(({ text }) => text) }))
    .filter(({ texts }) => texts.some((text) => isRequest({ text }))),
)

it('the documents have such an example', () => expect(services.length).toBeGreaterThan(0))

it.each(services)('at $at it answers', { timeout: 10 * 60_000 }, async ({ texts }) => {
  const program = texts.find((text) => text.startsWith('node '))
  const service = await serve(program?.split(' ')[1] ?? '')
  try {
    for (const text of texts.filter((each) => isRequest({ text: each }))) {
      expect((await curl(text, service.origin)).status, text).toBe(200)
    }
  } finally {
    expect(await service.end()).toBe(0)
  }
})
