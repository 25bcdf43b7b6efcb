// SPDX-License-Identifier: Apache-2.0
// What brokers say, and what nobody says, by hand and at random. POLYLOOP_FUZZ_CASES and POLYLOOP_FUZZ_SEED choose how
// many random lines, and from where on.
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { messages } from '../native/lines.ts'
import { brokerNews, printedLine } from './broker-lines.ts'

const exit = { event: 'exit', code: null, signal: 9, hungUp: false, lines: ['last'] }

describe('a line of a broker', () => {
  test.each([
    [exit, { event: 'exit', exit: { code: null, signal: 'SIGKILL', lines: ['last'] }, hungUp: false }],
    [
      { ...exit, code: 7, signal: null },
      { event: 'exit', exit: { code: 7, signal: null, lines: ['last'] }, hungUp: false },
    ],
    [
      { ...exit, signal: 99, hungUp: true },
      { event: 'exit', exit: { code: null, signal: 'signal 99', lines: ['last'] }, hungUp: true },
    ],
    [{ event: 'moved' }, { event: 'moved' }],
    [
      { event: 'first', since: 5 },
      { event: 'first', since: 5 },
    ],
    [{ event: 'taken', more: 1 }, { event: 'taken' }],
    [
      { event: 'untaken', message: 'why' },
      { event: 'untaken', message: 'why' },
    ],
    [
      { event: 'unserved', message: 'why' },
      { event: 'unserved', message: 'why' },
    ],
  ])('%j is understood', (line, news) => {
    expect(brokerNews(`${JSON.stringify(line)}\n`)).toEqual(news)
  })

  test.each([
    '',
    '\n',
    '{nope',
    'null',
    '[]',
    '7',
    '"exit"',
    '{}',
    '{"event":null}',
    '{"event":"output","stream":"stdout","text":"x"}',
    '{"event":"__proto__"}',
    '{"event":"first"}',
    '{"event":"first","since":"soon"}',
    '{"event":"untaken"}',
    '{"event":"unserved","message":{}}',
    '{"event":"exit"}',
    '{"event":"exit","code":"7","signal":null,"hungUp":false,"lines":[]}',
    '{"event":"exit","code":7,"signal":[],"hungUp":false,"lines":[]}',
    '{"event":"exit","code":7,"signal":null,"hungUp":1,"lines":[]}',
    '{"event":"exit","code":7,"signal":null,"hungUp":false,"lines":["x",null]}',
    '{"event":"exit","code":7,"signal":null,"hungUp":false,"lines":"x"}',
  ])('%s is none', (line) => {
    expect(brokerNews(line)).toBeUndefined()
  })
})

describe('a line about what is printed', () => {
  test('is understood', () => {
    expect(printedLine('{"stream":"stderr","text":"x\\n"}\n')).toEqual({ stream: 'stderr', text: 'x\n' })
  })

  test.each(['', 'null', '{"text":"x"}', '{"stream":"stdin","text":"x"}', '{"stream":"stdout","text":7}'])(
    '%s is none',
    (line) => expect(printedLine(line)).toBeUndefined(),
  )
})

/** Numbers that seem random, the same for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const cases = Number(process.env.POLYLOOP_FUZZ_CASES ?? 20_000)
const seed = Number(process.env.POLYLOOP_FUZZ_SEED ?? 1)

test('no line, however odd, does more than to be none', () => {
  const random = randomFrom(seed)
  const words = ['exit', 'moved', 'first', 'taken', 'untaken', 'unserved', 'stdout', '__proto__', 'toString', 'x']
  const names = ['event', 'code', 'signal', 'lines', 'since', 'message', 'stream', 'text', '__proto__', 'constructor']
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T
  const value = (depth: number): unknown => {
    const leaves = [null, true, -1, 1e308, random(100), pick(words), '\ud800', '']
    const kind = random(depth > 2 ? 8 : 10)
    if (kind === 8) return Array.from({ length: random(4) }, () => value(depth + 1))
    if (kind === 9) return Object.fromEntries(Array.from({ length: random(6) }, () => [pick(names), value(depth + 1)]))
    return leaves[kind]
  }
  let understood = 0
  for (let index = 0; index < cases; index++) {
    const one = { ...(value(0) as object), event: pick(words), stream: pick(words) }
    let line = `${JSON.stringify(random(4) === 0 ? value(0) : one)}\n`
    // Cut, doubled or with a character changed.
    if (random(3) === 0) line = line.slice(random(line.length))
    if (random(3) === 0) line = line.slice(0, random(line.length))
    if (random(3) === 0) line = line.replace(pick([...line, ' ']), String.fromCharCode(random(256)))
    const [news, printed] = [brokerNews(line), printedLine(line)]
    if (news !== undefined) understood++
    if (news?.event === 'exit') expect(news.exit.lines.every((text) => typeof text === 'string')).toBe(true)
    if (printed !== undefined) expect([printed.stream, typeof printed.text]).toEqual(['stdout', 'string'])
  }
  expect(understood).toBeGreaterThan(0)
})

test('a line without its end is none, and one that is too long is none of the broker', async () => {
  const stream = new PassThrough()
  const heard: string[] = []
  messages(stream, (line) => heard.push(line))
  stream.write('{"event":"mov')
  stream.write('ed"}\n')
  stream.write('x'.repeat(3 << 20))
  stream.end('\n{"event":"exit"')
  await new Promise((resolve) => stream.once('end', resolve))
  expect(heard.map(brokerNews)[0]).toEqual({ event: 'moved' })
  expect(heard.slice(1).every((line) => brokerNews(line) === undefined)).toBe(true)
  expect(heard.some((line) => line.includes('exit'))).toBe(false)
})
