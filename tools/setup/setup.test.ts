// SPDX-License-Identifier: Apache-2.0
// The set-up as a newcomer meets it on a machine that lacks tools.
import { expect, test } from 'vitest'
import { exec } from '../common/exec.ts'

const bare = (verb: string) =>
  exec(process.execPath, ['tools/run.mjs', verb], { env: { PATH: '/nonexistent', HOME: '/nonexistent' } })

test('each missing tool is named in a line that says what to do', async () => {
  const { output, ended } = await bare('start')
  expect(ended).toBe('exit code 1')
  const lines = output.trim().split('\n')
  for (const tool of ['Rust', 'C compiler', 'Python', 'venv']) {
    expect(lines.filter((line) => line.includes(tool) && /install/.test(line))).not.toEqual([])
  }
})

test.each(['quick', 'test', 'full'])(
  'missing tools fail the tests of %s, and the closing line is a count',
  async (verb) => {
    const { stdout, ended } = await bare(verb)
    expect(ended).toBe('exit code 1')
    expect(stdout.trim()).toBe('0 passed, 1 failed')
  },
)

test('an unknown verb names the others', async () => {
  const { output, ended } = await bare('tests')
  expect(ended).toBe('exit code 2')
  expect(output).toContain('build, start, bench, soak, check, format, quick, test, full')
})
