// SPDX-License-Identifier: Apache-2.0
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test, vi } from 'vitest'
import { parseLocator } from './locator.ts'

const here = (path: string): string => resolve(process.cwd(), path)

test('a module is named as Python names it', () => {
  expect(parseLocator('python:json')).toEqual({ kind: 'python', module: 'json', key: 'python:json' })
  expect(parseLocator('python:a.b_c.d1')).toMatchObject({ module: 'a.b_c.d1' })
  expect(parseLocator('python:größe')).toMatchObject({ module: 'größe' })
})

test('a Python file is what has a slash, ends in .py or is a URL', () => {
  const file = here('text.py')
  for (const text of ['python:./text.py', 'python:text.py', `python:${file}`, `python:${pathToFileURL(file).href}`]) {
    expect(parseLocator(text)).toEqual({ kind: 'python', file, key: `python:${file}` })
  }
  expect(parseLocator('python:folder/script')).toMatchObject({ file: here('folder/script') })
})

test('what ends in .py is a Python file without a scheme, too', () => {
  const file = here('text.py')
  const url = pathToFileURL(file)
  for (const locator of ['./text.py', 'text.py', file, url.href, url, new URL('?v=1', url), `${url.href}#x`]) {
    expect(parseLocator(locator)).toEqual({ kind: 'python', file, key: `python:${file}` })
  }
})

test('a library is a path, with or without a scheme', () => {
  const path = here('libx.so')
  for (const text of [
    'rust:./libx.so',
    './libx.so',
    'libx.so',
    'c:libx.so',
    path,
    `rust:${pathToFileURL(path).href}`,
    pathToFileURL(path),
  ]) {
    expect(parseLocator(text)).toEqual({ kind: 'library', path, key: path })
  }
})

test('one library by two spellings has one key, two libraries have two', () => {
  expect(parseLocator('./a/../libx.so').key).toBe(parseLocator('rust:libx.so').key)
  expect(parseLocator('./liby.so').key).not.toBe(parseLocator('./libx.so').key)
})

test('languages that are planned are told from typing errors', () => {
  for (const scheme of ['java', 'go', 'node']) {
    expect(() => parseLocator(`${scheme}:x`)).toThrow(`${scheme}: guests cannot be loaded yet`)
  }
})

test('a Python file with a scheme that is mistyped, or of something else, is told the right one', () => {
  const rows = { 'pyton:./x.py': './x.py', 'py:x.py': 'x.py', 'rust:./x.py': './x.py' }
  for (const [text, file] of Object.entries(rows)) {
    expect(() => parseLocator(text)).toThrow(
      expect.objectContaining({ code: 'invalid-argument', message: expect.stringContaining(`'python:${file}'?`) }),
    )
  }
  for (const text of ['rast:./libx.so', 'C:libx.so']) {
    expect(() => parseLocator(text)).toThrow('which is no kind of guest: there are python:, rust: and c:')
  }
})

test('what is no locator is refused with an example', () => {
  for (const text of ['', 'a\0b', 42, null, undefined, {}]) {
    expect(() => parseLocator(text as string)).toThrow("a locator is a text such as 'python:./text.py'")
  }
  for (const text of ['python:', 'rust:']) expect(() => parseLocator(text)).toThrow('names nothing after')
  for (const name of ['a-b', '1a', 'a..b', 'a b', '.a']) {
    expect(() => parseLocator(`python:${name}`)).toThrow("neither a Python module's name nor a path")
  }
})

test('a URL that is no path of this machine is refused, with one that is', () => {
  expect(() => parseLocator(new URL('https://host/x.py'))).toThrow('https://host/x.py is no file')
  for (const url of ['file://host/x.py', 'file:///%zz.py', 'file:///a%2fb.py', 'file:///a%00.py', 'file:////%zz']) {
    for (const scheme of ['python:', 'rust:', '']) {
      expect(() => parseLocator(`${scheme}${url}`)).toThrow(
        expect.objectContaining({ code: 'invalid-argument', message: expect.stringMatching(/is no path/) }),
      )
    }
  }
})

test('where the working directory is gone, what starts there is refused, and whole paths are not', () => {
  const cwd = vi.spyOn(process, 'cwd').mockImplementation(() => {
    throw Object.assign(new Error('ENOENT: no such file or directory, uv_cwd'), { code: 'ENOENT' })
  })
  const gone = { code: 'invalid-argument', message: expect.stringContaining('process.chdir()') }
  for (const text of ['./libx.so', 'python:./text.py']) {
    expect(() => parseLocator(text)).toThrow(expect.objectContaining(gone))
  }
  expect(parseLocator('/lib/libx.so')).toMatchObject({ path: '/lib/libx.so' })
  expect(parseLocator('python:file:///text.py')).toMatchObject({ file: '/text.py' })
  cwd.mockRestore()
})
