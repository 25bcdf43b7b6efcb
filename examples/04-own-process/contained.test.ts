// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest'
import { run } from '../testing/run.ts'

it('goes on after a segmentation fault in its guest', async () => {
  const { ended, stdout, stderr } = await run('04-own-process/contained.js')
  const lines = ['a text has 6 bytes', 'guest-crashed: SIGSEGV', 'the next process says 8 after 1 restart', '']
  expect({ ended, stdout, stderr }).toEqual({ ended: 0, stdout: lines.join('\n'), stderr: '' })
})
