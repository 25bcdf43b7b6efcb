// SPDX-License-Identifier: Apache-2.0
// The cases that are data: each file of cases/ is a column.
import type { PolyloopError } from 'polyloop'
import { expect } from 'vitest'
import type { SubjectOptions } from './hosts/node.ts'
import type { CallOptions, Subject } from './subject.ts'
import { type Case, caseFiles, type ExpectedError } from './support/cases.ts'
import { type Bench, type Claim, column } from './support/cells.ts'
import { failure, matches, rejection, same, until } from './support/expect.ts'
import { read } from './support/values.ts'

for (const { name, cases } of caseFiles()) column(name, cases.map(toClaim))

function toClaim(one: Case): Claim {
  const { name, needs, placements } = one
  return { name, ...(needs && { needs }), ...(placements && { placements }), run: (bench) => run(one, bench) }
}

async function run(one: Case, bench: Bench): Promise<void> {
  const { load, call, send, error } = one
  const options = read(load) as SubjectOptions | undefined
  if (call === undefined && send === undefined) {
    matches(await failure(bench.load(options)), forLanguage(error as ExpectedError, bench))
    return
  }
  const guest = options === undefined ? bench.guest : await bench.loadOnce(options)
  const controller = new AbortController()
  const during = (one.during ?? []).map(({ call, args = [] }) => {
    return rejection(guest.call(call, read(args) as unknown[], { signal: controller.signal }), 'cancelled')
  })
  try {
    await check(one, bench, guest)
  } finally {
    controller.abort()
    await Promise.all(during)
  }
  await until(() => guest.stats().inFlight === 0)
  // Whatever it was, the guest goes on.
  if (error !== undefined) same(await guest.call('add', [20, 22]), 42)
}

async function check(one: Case, bench: Bench, guest: Subject): Promise<void> {
  const { call = 'handle', send, deadline, context, items, error, back } = one
  const args = read(one.args ?? []) as unknown[]
  let heard: unknown
  const options: CallOptions = {
    ...(deadline !== undefined && { deadline }),
    ...(context !== undefined && { context: read(context) as Record<string, string> }),
    ...(back !== undefined && { onContext: (strings) => (heard = strings) }),
  }
  const said = Object.keys(options).length > 0 ? options : undefined
  if (items !== undefined) await readItems(guest.stream(call, args, said), one, bench)
  else {
    const answer = send === undefined ? guest.call(call, args, said) : guest.send(read(send) as Uint8Array)
    if (error === undefined) same(await answer, read(one.value))
    else matches(await failure(answer), forLanguage(error, bench))
  }
  if (back !== undefined) expect(heard).toEqual(back)
}

/** Items, then the end or an error. */
async function readItems(stream: AsyncIterable<unknown>, { items = [], error }: Case, bench: Bench): Promise<void> {
  const got: unknown[] = []
  const end = await drain(stream, got)
  for (const [index, item] of items.entries()) same(got[index], read(item))
  expect(got.length).toBe(items.length)
  if (error === undefined) expect(end).toBeUndefined()
  else matches(end, forLanguage(error, bench))
}

async function drain(stream: AsyncIterable<unknown>, into: unknown[]): Promise<PolyloopError | undefined> {
  try {
    for await (const item of stream) into.push(item)
    return undefined
  } catch (error) {
    return error as PolyloopError
  }
}

/** `misuse` is the word for the code that a language has for arguments that do not fit. */
function forLanguage(error: ExpectedError, { language }: Bench): ExpectedError {
  return error.code === 'misuse' ? { ...error, code: language.can.misuse } : error
}
