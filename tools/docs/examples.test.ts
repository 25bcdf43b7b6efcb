// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { type Examples, examplesOf, functionsOf, visible } from './examples.ts'
import { parseDocument } from './markdown.ts'

const examples = (...lines: string[]): Examples => examplesOf(parseDocument('a.md', lines.join('\n')))
const block = (info: string, ...lines: string[]): string[] => [`\`\`\`${info}`, ...lines, '```']

describe('examplesOf', () => {
  it('joins a program, each line in its place, and what it prints', () => {
    const { programs } = examples(
      ...block('ts', 'one()'),
      ...block('text output', '1'),
      ...block('ts continues', 'two()'),
      ...block('text output', '2'),
      ...block('ts', 'three()'),
    )
    expect(programs).toEqual([
      { document: 'a.md', line: 2, text: '\none()\n\n\n\n\n\ntwo()\n', output: '1\n2\n' },
      { document: 'a.md', line: 14, text: `${'\n'.repeat(13)}three()\n`, output: undefined },
    ])
  })

  it('names guests by their first line', () => {
    const { modules, libraries } = examples(
      ...block('python', '# pkg/text.py: a module', 'x = 1'),
      ...block('python', 'y = 1'),
      ...block('toml', '[lib]'),
      ...block('rust', '// math/src/lib.rs'),
      ...block('rust,standalone_crate', 'mod x {}'),
    )
    expect(modules.map(({ name }) => name)).toEqual(['pkg/text.py', 'guest.py'])
    expect(libraries.map(({ name, manifest, index }) => ({ name, manifest, index }))).toEqual([
      { name: 'math/target/release/libmath.so', manifest: '[lib]', index: 0 },
      { name: 'target/release/libguest.so', manifest: '[lib]', index: 1 },
    ])
  })

  it.each([
    [block('js', 'x'), "a.md:2: no rule covers a block of 'js'"],
    [block('', 'x'), "a.md:2: no rule covers a block of ''"],
    [block('ts skip', 'x'), "a.md:2: a block of ts has no 'skip'"],
    [block('ts continues', 'x'), 'a.md:2: there is no program above this ts'],
    [block('text output', 'x'), 'a.md:2: there is no program above this text'],
  ])('says what no rule covers: %j', (lines, problem) => {
    expect(examples(...lines).problems).toEqual([expect.stringContaining(problem)])
  })
})

it('a program finds the guest above it, and one below it only if none is above', () => {
  const guests = [2, 10, 20].map((line) => ({ document: 'a.md', line, name: 'guest.py', text: '' }))
  const seen = (line: number): number[] => visible(guests, line).map((guest) => guest.line)
  expect([1, 5, 15, 25].map(seen)).toEqual([[2], [2], [10], [20]])
})

it('functionsOf are the public functions of a module, but for init', () => {
  const text = 'def a(x):\n    def inner(): ...\nasync def b(): ...\ndef _c(): ...\ndef init(config): ...\nclass D: ...'
  const module = { document: 'a.md', line: 1, name: 'guest.py', text }
  expect(functionsOf(module)).toEqual(['a', 'b'])
  expect(functionsOf({ ...module, name: 'package/module.py' })).toEqual([])
})
