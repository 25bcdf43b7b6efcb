// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { languages, readOrder } from './arguments.ts'

const guests = ['c', 'python', 'rust']
const read = (...args: string[]) => readOrder(args, guests)

test('a tier alone is all of it', () => {
  expect(read('full')).toEqual({ tier: 'full', suites: [], guests: [], placements: [] })
})

test('suites are named, in any number', () => {
  expect(read('test', 'rust', 'loom').suites).toEqual(['rust', 'loom'])
})

test('cells of conformance are chosen by options, which may be repeated and hold lists', () => {
  const args = ['--guest', 'rust', '--placement=process,thread', '--guest', 'c,rust']
  const wanted = { tier: 'test', suites: ['conformance'], guests: ['rust', 'c'], placements: ['process', 'thread'] }
  expect(read('test', 'conformance', ...args)).toEqual(wanted)
  expect(read('test', ...args, 'conformance')).toEqual(wanted)
})

test.each([
  [['--guest', 'go'], '--guest: there is no go; there are c, python, rust'],
  [['--guest', 'rust,go,lua'], '--guest: there is no go, lua; there are c, python, rust'],
  [['--guest='], "--guest: there is no ''; there are c, python, rust"],
  [['--placement', 'cloud'], '--placement: there is no cloud; there are thread, process, shared'],
  [['--host', 'nginx'], 'the options are --guest NAME and --placement NAME'],
  [['--guest'], 'the options are --guest NAME and --placement NAME'],
])('%j is a mistake that says what there is', (args, message) => {
  expect(() => read('test', 'conformance', ...args)).toThrow(message)
})

test('options without the suite that they are for are a mistake', () => {
  expect(() => read('test', '--guest', 'rust')).toThrow('conformance, which has to be named')
  expect(() => read('test', 'rust', '--placement', 'process')).toThrow('conformance, which has to be named')
})

test('a tier that does not exist is a mistake', () => {
  expect(() => read('slow')).toThrow("there is no tier 'slow'; there are quick, test, full")
  expect(() => read()).toThrow('there are quick, test, full')
})

test('the languages are those that have fixtures', () => {
  expect(languages()).toEqual(expect.arrayContaining(guests))
})
