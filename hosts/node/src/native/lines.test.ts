// SPDX-License-Identifier: Apache-2.0
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { lines } from './lines.ts'

/** What is handed on of a stream, and a wait until so much was. */
function handed(): { from: PassThrough; all: string[]; until: (count: number) => Promise<void> } {
  const from = new PassThrough()
  const all: string[] = []
  let heard = (): void => {}
  const hear = (text: string): void => {
    all.push(text)
    heard()
  }
  lines(from, hear, (part) => hear(`part ${part}`))
  const until = async (count: number): Promise<void> => {
    while (all.length < count) {
      await new Promise<void>((resolve) => {
        heard = resolve
      })
    }
  }
  return { from, all, until }
}

test('a part of a line that nothing follows is handed on, then the whole line', async () => {
  const { from, all, until } = handed()
  for (const text of ['one\nna', 'me? ']) from.write(text)
  await until(2)
  from.write('Ada')
  await until(3)
  from.write('\ntwo\n')
  await until(5)
  expect(all).toEqual(['one\n', 'part name? ', 'part name? Ada', 'name? Ada\n', 'two\n'])
})

test('the last line is handed on with an end, once', async () => {
  const { from, all, until } = handed()
  from.write('last')
  await until(1)
  from.end('!')
  await new Promise((resolve) => from.once('close', resolve))
  expect(all).toEqual(['part last', 'last!\n'])
})
