// SPDX-License-Identifier: Apache-2.0
// The format of case files: what README.md says of it is held.
import { describe, expect, test } from 'vitest'
import { caseFiles, parseCases } from './support/cases.ts'
import { selectRows } from './support/selection.ts'
import { read } from './support/values.ts'

test('every file of cases has its format, and has cases', () => {
  const files = caseFiles()
  const names = files.map(({ name }) => name)
  expect(names).toEqual(
    expect.arrayContaining(['arguments', 'bounds', 'bytes', 'codecs', 'deadlines', 'errors', 'results']),
  )
  for (const { cases } of files) expect(cases.length).toBeGreaterThan(0)
})

describe('a file is refused', () => {
  const good = { name: 'one', call: 'add', args: [1, 2], value: 3 }
  const refused = (...cases: unknown[]): (() => unknown) => {
    return () => parseCases('file', JSON.stringify({ about: 'a test', cases }))
  }

  test('not if nothing is wrong with it', () => {
    expect(refused(good, { ...good, name: 'other' })()).toMatchObject({
      name: 'file',
      cases: [good, { name: 'other' }],
    })
  })

  test.each([
    ['a key that does not exist', { ...good, argz: [] }, "the key 'argz'"],
    ['no name', { call: 'add', value: 1 }, "no 'name'"],
    ['a name that is none', { ...good, name: 7 }, "a 'name' that is none: 7"],
    ['an ability that does not exist', { ...good, needs: ['wings'] }, "a 'needs' that is none"],
    ['an ability without its value', { ...good, needs: ['codecs'] }, "a 'needs' that is none"],
    ['a placement that does not exist', { ...good, placements: ['moon'] }, "a 'placements' that is none"],
    ['no expectation', { name: 'one', call: 'add' }, 'expects nothing'],
    ['a value and an error', { ...good, error: { code: 'deadline' } }, 'a value and something beside it'],
    ['call and send', { ...good, send: { $hex: '00' } }, 'both call and send'],
    ['arguments for nothing', { name: 'one', args: [], error: { code: 'deadline' } }, 'args and no call'],
    ['no call, and no load that fails', { name: 'one', value: 1 }, 'calls nothing'],
    ['a code that does not exist', { name: 'one', call: 'add', error: { code: 'oops' } }, "a 'code' that is none"],
    ['an error of which nothing is said', { name: 'one', call: 'add', error: {} }, 'of which nothing is said'],
    ['a wrong key of an error', { name: 'one', call: 'add', error: { text: 'a' } }, "the key 'text'"],
    ['a wrong key of a cause', { name: 'one', call: 'add', error: { cause: { text: 'a' } } }, "the key 'text'"],
    ['a wrong key of a guest', { name: 'one', call: 'add', error: { guest: { text: 'a' } } }, "the key 'text'"],
    ['a wrong key of a call during it', { ...good, during: [{ call: 'park', name: 'x' }] }, "the key 'name'"],
    ['a notation that does not exist', { ...good, args: [{ $byte: '00' }] }, 'is no notation'],
    ['a notation beside something', { ...good, args: [{ $hex: '00', more: 1 }] }, 'is no notation'],
    ['a notation with a wrong content', { ...good, value: { $hex: '0g' } }, 'is no notation'],
  ])('for %s', (_, one, words) => {
    expect(refused(one)).toThrow(words)
  })

  test('for two cases of one name', () => {
    expect(refused(good, good)).toThrow("two cases have the name 'one'")
  })

  test('for a key beside its cases', () => {
    expect(() => parseCases('file', '{"about":"a test","cases":[],"more":1}')).toThrow("the key 'more'")
  })
})

test('notations stand for what JSON cannot write', async () => {
  expect(read({ $undefined: true })).toBeUndefined()
  expect(read({ $hex: '00ff' })).toEqual(Buffer.from([0, 255]))
  expect(read({ $utf8: 'é' })).toEqual(Buffer.from([0xc3, 0xa9]))
  expect(read({ $pattern: [4] })).toEqual(Buffer.from([0, 31, 62, 93]))
  expect((read({ $pattern: [70_000, 1] }) as Buffer)[69_999]).toBe((69_999 * 31 + (69_999 >> 8) + 1) & 255)
  expect(read({ $repeat: ['ab', 3] })).toBe('ababab')
  expect(read({ $nested: 3 })).toEqual([[[]]])
  expect(read({ a: [{ $number: 'NaN' }, { $number: '-Infinity' }] })).toEqual({
    a: [Number.NaN, Number.NEGATIVE_INFINITY],
  })
  const items: unknown[] = []
  for await (const item of read({ $stream: [1, { $hex: '00' }] }) as AsyncIterable<unknown>) items.push(item)
  expect(items).toEqual([1, Buffer.from([0])])
})

describe('what is selected', () => {
  const rows = (guests?: string, placements?: string): string[] => {
    const environment = { POLYLOOP_CONFORMANCE_GUESTS: guests, POLYLOOP_CONFORMANCE_PLACEMENTS: placements }
    return selectRows(environment).map(({ language, placement }) => `${language.name} ${placement}`)
  }

  test('is every language, on threads and in a process', () => {
    expect(rows()).toEqual(['rust thread', 'rust process', 'python thread', 'python process', 'c thread', 'c process'])
  })

  test('or what the environment names', () => {
    expect(rows('c,rust', 'shared')).toEqual(['rust shared', 'c shared'])
  })

  test('and a name that does not exist is an error, which says what there is', () => {
    expect(() => rows('cobol')).toThrow("names 'cobol', which does not exist: there are rust, python, c")
    expect(() => rows('')).toThrow('there are rust, python, c')
    expect(() => rows('c', 'moon')).toThrow("names 'moon', which does not exist: there are thread, process, shared")
  })
})
