// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toProbe } from './probe.ts'

const sound = {
  implementation: 'cpython',
  version: '3.11.7',
  version_info: [3, 11, 7],
  executable: '/usr/bin/python3',
  prefix: '/usr',
  base_prefix: '/usr',
  path: ['/usr/lib/python3.11'],
  libpython: ['/usr/lib/libpython3.11.so.1.0'],
  gil: true,
  trace_refs: false,
  bits: 64,
}

test('what an interpreter says is read, and what is not known is left out', () => {
  expect(toProbe(JSON.stringify({ ...sound, more: [] }))).toEqual(sound)
})

test('a field that is missing, or of another type, is told', () => {
  for (const name of Object.keys(sound)) {
    for (const value of [undefined, null, {}, [{}], -1, 1.5, 2 ** 40]) {
      expect(() => toProbe(JSON.stringify({ ...sound, [name]: value }))).toThrow(`its ${name} is not what it should be`)
    }
  }
})

test('any text is a probe, or an Error', () => {
  const text = fc.oneof(fc.string(), fc.json(), fc.constantFrom('null', '7', '[]', '{"__proto__":{}}'))
  fc.assert(
    fc.property(text, (text) => {
      expect(() => toProbe(text)).toThrow(Error)
    }),
  )
})
