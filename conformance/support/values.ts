// SPDX-License-Identifier: Apache-2.0
// How case files write what JSON cannot: README.md has the table.
import { pattern } from './bytes.ts'

/** The objects with a name that begins with `$`: what each stands for. */
const notations: Readonly<Record<string, (content: unknown) => unknown>> = {
  $undefined: (content) => take(content === true, undefined),
  $hex: (content) =>
    take(isText(content) && /^([0-9a-f]{2})*$/.test(content), () => Buffer.from(String(content), 'hex')),
  $utf8: (content) => take(isText(content), () => Buffer.from(String(content))),
  $pattern: (content) => {
    const [length = -1, seed = 0] = Array.isArray(content) ? (content as number[]) : []
    return take(Array.isArray(content) && content.length <= 2 && isCount(length) && isCount(seed), () =>
      pattern(length, seed),
    )
  },
  $repeat: (content) => {
    const [text, count] = Array.isArray(content) ? (content as unknown[]) : []
    return take(isText(text) && isCount(count), () => String(text).repeat(Number(count)))
  },
  $nested: (content) => take(isCount(content), () => nested(Number(content))),
  $number: (content) => take(['NaN', 'Infinity', '-Infinity'].includes(String(content)), () => Number(content)),
  $stream: (content) => take(Array.isArray(content), () => feed((content as unknown[]).map(read))),
}

const wrong = Symbol('wrong')

/** What a notation stands for, if its content is what it takes. */
function take(isRight: boolean, value: unknown): unknown {
  if (!isRight) return wrong
  return typeof value === 'function' ? (value as () => unknown)() : value
}

/**
 * The value that a case file means.
 *
 * @throws an error that shows what is no notation
 */
export function read(written: unknown): unknown {
  if (Array.isArray(written)) return written.map(read)
  if (typeof written !== 'object' || written === null) return written
  const entries = Object.entries(written)
  const [name, content] = entries.find(([key]) => key.startsWith('$')) ?? []
  if (name === undefined) return Object.fromEntries(entries.map(([key, value]) => [key, read(value)]))
  const meant =
    entries.length === 1 ? (notations[name]?.(content) ?? (name === '$undefined' ? undefined : wrong)) : wrong
  if (meant === wrong) throw new Error(`${JSON.stringify(written)} is no notation: there are ${names}`)
  return meant
}

const names = Object.keys(notations).join(', ')
const isText = (content: unknown): content is string => typeof content === 'string'
const isCount = (content: unknown): content is number => Number.isSafeInteger(content) && Number(content) >= 0

function nested(depth: number): unknown {
  return JSON.parse('['.repeat(depth) + ']'.repeat(depth))
}

async function* feed(items: readonly unknown[]): AsyncGenerator<unknown> {
  yield* items
}
