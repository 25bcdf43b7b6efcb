// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest'
import { checkCommand, commandsOf, isCommand } from './commands.ts'

it('commandsOf finds commands, and what they print', () => {
  const text = 'one --flag   # why\n# printed\n# too\n\ntwo "a#b"'
  expect(commandsOf({ text, line: 7 })).toEqual([
    { line: 7, text: 'one --flag', output: 'printed\ntoo\n' },
    { line: 11, text: 'two "a#b"', output: undefined },
  ])
})

it('isCommand knows commands between backticks', () => {
  expect(['npm test', 'npm run bench -- --cpu 0', 'npx vitest run x'].every(isCommand)).toBe(true)
  expect(['npm', 'cargo.toml', 'polyloop.check()'].some(isCommand)).toBe(false)
})

it.each([
  'npm start',
  'npm run build',
  'npm run bench -- --quick --cpu 0 --readme README.md --readme docs/README.md',
  'POLYLOOP_FUZZ_CASES=1 npx vitest run tools/docs tools/docs/commands.test.ts',
  'node examples/dist/01-hello/hello.js',
  'cargo build --release -p polyloop-example-ripgrep',
  'examples/02-python-library/.venv/bin/pip install -r examples/02-python-library/requirements.txt',
])('%s exists', async (command) => expect(await checkCommand(command)).toBeUndefined())

it.each([
  ['npm run nothing', "package.json has no script 'nothing'"],
  ['npm run bench -- --nothing', "Unknown option '--nothing'"],
  ['npm run soak -- --kills 1', 'no rule covers'],
  ['npx vitest run tools/nothing', 'there is no tools/nothing'],
  ['POLYLOOP_NOTHING_AT_ALL=1 npx vitest run tools/docs', 'nothing reads POLYLOOP_NOTHING_AT_ALL'],
  ['node examples/dist/nothing.js', 'there is no examples/nothing.ts'],
  ['cargo test -p polyloop-nothing', 'there is no crate polyloop-nothing'],
  ['rm -r folder', 'no rule covers'],
])('%s does not: %s', async (command, problem) => expect(await checkCommand(command)).toContain(problem))
