// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { root } from '../common/exec.ts'
import { type Document, parseDocument } from './markdown.ts'
import { braces, checkLinks, checkOrphans, checkPaths, checkWidths } from './references.ts'

const documents = (texts: Readonly<Record<string, string>>): Document[] =>
  Object.entries(texts).map(([path, text]) => parseDocument(path, text))

describe('checkLinks', () => {
  it('follows files, folders and anchors from where a document is', () => {
    const good = '[a](../README.md#polyloop) [b](guide) [c](#here) [d](https://example.com)\n## Here'
    expect(checkLinks(documents({ 'README.md': '# Polyloop', 'docs/README.md': good }), root)).toEqual([])
  })

  it('says what is not there', () => {
    const bad = '[a](nothing.md)\n\n[b](README.md#nothing) [c](#nowhere)'
    expect(checkLinks(documents({ 'docs/README.md': bad }), root)).toEqual([
      'docs/README.md:1: there is no docs/nothing.md',
      'docs/README.md:3: docs/README.md has no heading for #nothing',
      'docs/README.md:3: docs/README.md has no heading for #nowhere',
    ])
  })

  it('fails if there is nothing to check', () => expect(checkLinks([], root)).toEqual(['no links found']))
})

it('checkOrphans finds documents that no other links to', () => {
  const some = documents({
    'docs/README.md': '[a](a.md)',
    'docs/a.md': '[me](#a)\n# a',
    'README.md': '[d](docs/README.md)',
  })
  expect(checkOrphans(some, 'docs')).toEqual([])
  expect(checkOrphans(some.slice(0, 2), 'docs')).toEqual(['docs/README.md: no document links to it'])
  expect(checkOrphans([], 'docs')).toHaveLength(1)
})

describe('checkPaths', () => {
  it('finds files from the root and beside a document, with braces and stars', () => {
    const text = '`crates/ring` `docs/guide/{calls,processes}.md` `guide/calls.md` `docs/*/calls.md` `spec/`'
    expect(checkPaths(documents({ 'docs/README.md': text }), root)).toEqual([])
  })

  it('leaves alone what is no path of the repository', () => {
    const text =
      '`crates/ring` `./text.py` `@types/node` `node:fs/promises` `/proc/x` `a / b` `target/release/x.so` `<a>/b`'
    expect(checkPaths(documents({ 'README.md': text }), root)).toEqual([])
  })

  it('says what is not there', () => {
    const text = '`crates/gone` `docs/guide/{calls,gone}.md`\n`suites/hostile.test.ts`'
    expect(checkPaths(documents({ 'README.md': text }), root)).toEqual([
      'README.md:1: there is no crates/gone',
      'README.md:1: there is no docs/guide/{calls,gone}.md',
      'README.md:2: there is no suites/hostile.test.ts',
    ])
  })

  it('fails if there is nothing to check', () => expect(checkPaths([], root)).toEqual(['no paths found']))
})

it('braces stand for all that is in them', () => {
  expect(braces('a/{b,c}.{d,e}')).toEqual(['a/b.d', 'a/b.e', 'a/c.d', 'a/c.e'])
})

it('checkWidths finds lines that could be shorter; not tables, headings and what cannot be broken', () => {
  const long = 'x'.repeat(60)
  const text = [`${long} ${long}`, `| ${long} ${long} |`, `# ${long} ${long}`, `[${long}](${long})`].join('\n')
  expect(checkWidths(documents({ 'a.md': text }))).toEqual(['a.md:1: 121 characters'])
  expect(checkWidths([])).toEqual(['no documents found'])
})
