// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { anchorsOf, codeSpans, linksOf, parseDocument } from './markdown.ts'

const document = (...lines: string[]): ReturnType<typeof parseDocument> => parseDocument('a.md', lines.join('\n'))

describe('parseDocument', () => {
  it('finds blocks with their info, their place and whether they are hidden', () => {
    const { blocks } = document(
      'text',
      '```ts continues',
      'one()',
      '',
      'two()',
      '```',
      '<!-- why',
      '```rust,x',
      '```',
      '-->',
    )
    expect(blocks).toEqual([
      { language: 'ts', words: ['continues'], text: 'one()\n\ntwo()', line: 3, hidden: false },
      { language: 'rust', words: ['x'], text: '', line: 9, hidden: true },
    ])
  })

  it('has a longer fence hold a shorter one', () => {
    expect(document('````text', '```', '````').blocks.map(({ text }) => text)).toEqual(['```'])
  })

  it('leaves comments and blocks out of the prose', () => {
    const { lines } = document('a <!-- b --> c', '<!--', 'd', '-->', '```', 'e', '```', 'f')
    expect(lines).toEqual([
      { number: 1, text: 'a  c' },
      { number: 8, text: 'f' },
    ])
  })

  it.each([['```ts', 'one()'], ['<!-- a']])('refuses what has no end: %j', (...lines) => {
    expect(() => document(...lines)).toThrow('no end')
  })
})

it('linksOf finds links that are broken over lines, and pictures, but none in code', () => {
  const links = linksOf(document('![p](p.svg) `[no](no.md)` [a', 'b](b.md#c)', '```', '[no](no.md)', '```'))
  expect(links).toEqual([
    { target: 'p.svg', line: 1 },
    { target: 'b.md#c', line: 2 },
  ])
})

it('codeSpans finds what stands between backticks', () => {
  expect(codeSpans(document('`a/b` and ``c ` d``')).map(({ text }) => text)).toEqual(['a/b', 'c ` d'])
})

it('anchorsOf makes anchors as GitHub does', () => {
  const anchors = anchorsOf(document('# Threads, and who waits', '## `not-found`', '## [A](b.md) b', '## A b', '#no'))
  expect([...anchors]).toEqual(['threads-and-who-waits', 'not-found', 'a-b', 'a-b-1'])
})
