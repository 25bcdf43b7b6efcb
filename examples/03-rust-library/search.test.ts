// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { load, type Runtime } from 'polyloop'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root, run } from '../testing/run.ts'
import type { Ripgrep } from './ripgrep.ts'

it("finds a function in the documentation of Node's API", async () => {
  const { ended, stdout, stderr } = await run('03-rust-library/search.js')
  expect(stdout).toMatch(/^node_modules\/@types\/node\/perf_hooks\.d\.ts:\d+: function monitorEventLoopDelay\(/)
  expect(stdout).toMatch(/\n1 lines of \d+ files, \d\.\d MB\n$/)
  expect({ ended, stderr }).toEqual({ ended: 0, stderr: '' })
})

describe('the guest', () => {
  let guest: Runtime<Ripgrep>
  beforeAll(async () => {
    guest = await load<Ripgrep>(
      `rust:${resolve(root, process.env.CARGO_TARGET_DIR ?? 'target', 'release/libripgrep.so')}`,
    )
  })
  afterAll(() => guest.unload())

  it('finds what a search in JavaScript finds', async () => {
    const folder = join(root, 'LICENSE')
    const lines = (await readFile(folder, 'utf8')).split('\n')
    const expected = lines.flatMap((text, index) =>
      /\bpatent\b/i.test(text) ? [{ path: folder, line: index + 1, text: text.trimEnd() }] : [],
    )
    expect(expected.length).toBeGreaterThan(3)
    const found = await guest.search({ pattern: String.raw`\bpatent\b`, folder, ignoreCase: true, limit: 100 })
    expect(found).toMatchObject({ files: 1, count: expected.length, matches: expected })
  })

  it('counts more than it returns', async () => {
    const found = await guest.search({ pattern: 'License', folder: join(root, 'LICENSE'), limit: 2 })
    expect(found.matches).toHaveLength(2)
    expect(found.count).toBeGreaterThan(10)
  })

  it('says what is wrong with a pattern and with a folder', async () => {
    const badPattern = guest.search({ pattern: '(', folder: root })
    await expect(badPattern).rejects.toMatchObject({ code: 'guest-error', guest: { code: 'bad-pattern' } })
    const badFolder = guest.search({ pattern: 'x', folder: join(root, 'nowhere') })
    await expect(badFolder).rejects.toMatchObject({ code: 'guest-error', guest: { code: 'bad-folder' } })
  })
})
