// SPDX-License-Identifier: Apache-2.0
import { chmodSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryFolder, write } from '../support/folders.ts'
import { run } from './child.ts'

/** Runs a program at a terminal of its own. */
const terminal = ['python3', '-c', 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))']
/** Runs a program without standard streams. */
const closed = ['sh', '-c', 'exec "$0" "$@" <&- >&- 2>&-']

const cases = [
  { where: 'of a program whose streams are pipes', scenario: 'leave', under: [] },
  { where: 'of a program without streams', scenario: 'leave', under: closed },
  { where: 'of a program at a terminal, which uses its streams after the load', scenario: 'terminal', under: terminal },
  { where: 'of a worker', scenario: 'worker', under: [] },
]

const program = write(
  temporaryFolder(),
  'lacks.sh',
  `#!/bin/sh
lacks=0
[ -e "/proc/$$/fd/0" ] || lacks=$((lacks + 1))
[ -e "/proc/$$/fd/1" ] || lacks=$((lacks + 2))
[ -e "/proc/$$/fd/2" ] || lacks=$((lacks + 4))
exit $lacks
`,
)
chmodSync(program, 0o755)

test.each(cases)('a program that a guest starts on threads $where has the standard streams', async (one) => {
  const { code, stdout, stderr } = await run('streams', [one.scenario, program], { under: one.under })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  if (one.scenario === 'terminal') expect(stdout.trim()).toBe('true, true, true')
})

test('programs that the host starts beside a guest on threads have the streams that it says', async () => {
  const { code, stdout, stderr } = await run('streams', ['own'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [ignored, inherited] = stdout.split('\n')
  expect(ignored).toBe('/dev/null /dev/null /dev/null')
  expect(inherited).toMatch(/^.dev.null (pipe|socket):\S+ (pipe|socket):\S+$/)
})
