// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest'
import { run } from '../testing/run.ts'

it('is greeted by a Python guest and by a Rust guest', async () => {
  const { ended, stdout, stderr } = await run('01-hello/hello.js')
  expect(stdout).toMatch(/'Hello, Ada, from Python 3\.\d+\.\d+.*!'/)
  expect(stdout).toContain("'Hello, Ada, from Rust!'")
  expect({ ended, stderr }).toEqual({ ended: 0, stderr: '' })
})
