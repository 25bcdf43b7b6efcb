// SPDX-License-Identifier: Apache-2.0
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { hrefOf, pathOf } from './urls.ts'

test('a URL is one by what it says, whatever its class', () => {
  const url = new URL('file:///a/b.py')
  const { href, protocol } = url
  for (const value of [url, { href, protocol }, runInNewContext('({ href, protocol })', { href, protocol })]) {
    expect(hrefOf(value)).toBe('file:///a/b.py')
  }
  for (const value of ['file:///a', undefined, null, 7, {}, { href }, { href: 1, protocol }]) {
    expect(hrefOf(value)).toBeUndefined()
  }
})

test('a URL that is no file of this machine has no path', () => {
  expect(pathOf('file:///a%20b.py')).toBe('/a b.py')
  for (const url of ['https://host/b.py', 'file://host/b.py', './b.py', '', undefined])
    expect(pathOf(url)).toBeUndefined()
})
