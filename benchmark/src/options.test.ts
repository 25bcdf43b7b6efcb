// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { parseOptions, UsageError } from './options.ts'
import { QUICK_NAMES, VARIANT_NAMES } from './variants/names.ts'

describe('parseOptions', () => {
  it('measures everything by default and writes nothing', () => {
    expect(parseOptions([], '/here')).toEqual({
      help: false,
      extent: 'full',
      cpu: null,
      runs: null,
      only: VARIANT_NAMES,
      json: null,
      from: null,
      chart: null,
      readme: [],
    })
  })

  it('measures few variants where it is to be quick, and those that are named in any case', () => {
    expect(parseOptions(['--quick'], '/').only).toEqual(QUICK_NAMES)
    expect(parseOptions(['--quick', '--only', 'koffi'], '/').only).toEqual(['koffi'])
  })

  it('takes files relative to the folder, and absolute ones', () => {
    const readmes = ['--readme', 'A.md', '--readme', '/B.md']
    const options = parseOptions(['--json', 'a.json', '--chart=/tmp/c.svg', ...readmes], '/here')
    expect([options.json, options.chart]).toEqual(['/here/a.json', '/tmp/c.svg'])
    expect(options.readme).toEqual(['/here/A.md', '/B.md'])
  })

  it('takes processor 0', () => expect(parseOptions(['--quick', '--cpu', '0'], '/').cpu).toBe(0))

  it.each([
    [['--cpu', 'zero'], '--cpu takes a whole number from 0, not "zero"'],
    [['--runs', '0'], '--runs takes a whole number from 1, not "0"'],
    [['--only', 'uds-c,uds-d'], 'no variant is called "uds-d"'],
    [['--fast'], '--fast'],
    [['file'], 'file'],
    [['--json'], '--json'],
  ])('refuses %j', (args, message) => {
    expect(() => parseOptions(args, '/')).toThrow(UsageError)
    expect(() => parseOptions(args, '/')).toThrow(message)
  })
})
