// SPDX-License-Identifier: Apache-2.0
// What a Python guest on threads must not do to its host: docs/guide/threads.md.
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { temporaryFolder, write } from '../support/folders.ts'
import { ask, run } from './child.ts'

const folder = temporaryFolder()
const guest = (name: string, source: string): string => write(folder, name, source)

const deep = `
import sys
sys.setrecursionlimit(12000)
def _f(n): return n and sorted([n], key=lambda v: _f(v - 1))[0]
def _deep():
    try: return [_f(1100)]
    except RecursionError: return ['too deep']
`

test('what recurses deeply does so in a module and in init as in a program', async () => {
  const files = [
    guest('deep_module.py', `${deep}\n_done = _deep()\ndef ask(): return len(_done)\n`),
    guest('deep_init.py', `${deep}\n_done = []\ndef init(): _done.extend(_deep())\ndef ask(): return len(_done)\n`),
  ]
  expect(await ask('threads', ['answers', ...files])).toEqual([1, 1])
})

test.each(['PYTHONFAULTHANDLER', 'PYTHONDEVMODE'])('with %s a trap of WebAssembly is an error still', async (name) => {
  const file = guest('plain.py', 'def ask(): return 1\n')
  expect(await ask('threads', ['traps', file], { env: { [name]: '1' } })).toEqual(['RuntimeError', 'RuntimeError'])
})

test('two guests with helpers of one name: the second is refused, with what to do', async () => {
  const source = 'import helpers\ndef ask(): return helpers.WHO\n'
  const files = ['a', 'b'].map((who) => {
    guest(`${who}/helpers.py`, `WHO = '${who}'\n`)
    return guest(`${who}/main.py`, source)
  })
  const [a, b] = await ask<string[]>('threads', ['answers', ...files])
  expect(a).toBe('a')
  expect(b).toContain("load one of the two with placement: 'process'")
})

test("input() does not read the host's standard input", async () => {
  const file = guest('reads.py', 'def ask():\n    try: return input()\n    except EOFError: return None\n')
  const { stdout } = await run('threads', ['answers', file])
  expect(JSON.parse(stdout)).toEqual([null])
})

const program = 'import ssl, _ssl; print(*ssl.OPENSSL_VERSION_INFO[:2])'
const versions = [execFileSync('python3', ['-c', program], { encoding: 'utf8' }).trim(), process.versions.openssl]
const isOther = versions[0] !== versions[1]?.split('.').slice(0, 2).join(' ')

test('a guest that uses an OpenSSL which Node replaces has the process warned, once', async () => {
  const plain = guest('plain.py', 'def ask(): return 1\n')
  const uses = ['one.py', 'two.py'].map((name) => guest(name, 'import ssl\ndef ask(): return ssl.OPENSSL_VERSION\n'))
  expect(await ask('threads', ['warnings', plain], { node: ['--no-warnings'] })).toEqual([])
  const warnings = await ask('threads', ['warnings', plain, ...uses], { node: ['--no-warnings'] })
  const warning = ['PolyloopGuest', expect.stringMatching(/built with OpenSSL .* use OpenSSL .* placement: 'process'/)]
  expect(warnings).toEqual(isOther ? [warning] : [])
})
