// SPDX-License-Identifier: Apache-2.0
import { beforeAll, expect, test } from 'vitest'
import { exposeGc } from './leaks.ts'
import { homes, libraries } from './libraries.ts'

beforeAll(exposeGc)

test.each(Object.entries(homes))(
  'numpy, TLS, programs, forks and prints, %s: every answer is right, and nothing is left',
  async (_, home) => {
    const { answered, lines, wrong, before, after } = await libraries(home, 3000, 5)
    console.log(JSON.stringify({ answered, lines, before, after }))
    expect(wrong).toEqual([])
    expect(Object.keys(answered)).toHaveLength(6)
    expect(lines[1]).toBe(lines[0])
    expect(after).toMatchObject({ processes: 0, memfds: 0 })
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors)
  },
)
