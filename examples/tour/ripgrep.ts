// SPDX-License-Identifier: Apache-2.0
import { load } from 'polyloop'
import type { Query, Ripgrep } from '../03-rust-library/ripgrep.ts'
import { rustGuest } from './guests.ts'
import { duration, figure, print, title } from './print.ts'
import { watch } from './ticks.ts'

/** What one may want to know of one's dependencies. */
const AUDIT = [
  String.raw`\beval\(`,
  String.raw`\bnew Function\(`,
  String.raw`\bchild_process\b`,
  String.raw`\bprocess\.env\.[A-Z_]+`,
  String.raw`https?://[\w.-]+`,
  String.raw`@deprecated\b`,
]

export async function ripgrep(): Promise<void> {
  title(3, "ripgrep's engine, from crates.io, as a function", '03-rust-library')
  await using guest = await load<Ripgrep>(rustGuest('ripgrep'))

  const query: Query = { pattern: 'function monitorEventLoopDelay', folder: 'node_modules/@types/node', limit: 1 }
  const start = performance.now()
  const { files, bytes, matches } = await guest.search(query)
  const took = duration(performance.now() - start)
  print(`   The documentation of Node's API, ${figure(files)} files of ${megabytes(bytes)}, searched in ${took}:`)
  for (const { path, line, text } of matches) print(`   ${path}:${line}: ${text.trim()}`)

  const all = AUDIT.map((pattern) => guest.search({ pattern, folder: 'node_modules', everything: true }))
  const { result, ms, ticks } = await watch(Promise.all(all))
  print(`\n   ${AUDIT.length} searches at once in all of node_modules, ${figure(result[0]?.files ?? 0)} files:\n`)
  result.forEach(({ count }, index) => {
    print(`   ${figure(count).padStart(9)}  ${AUDIT[index]}`)
  })
  const total = result.reduce((sum, found) => sum + found.bytes, 0)
  print(`\n   That was ${megabytes(total)} of text in ${duration(ms)}.`)
  print(`   Meanwhile ${ticks}.`)
}

function megabytes(bytes: number): string {
  return `${figure(bytes / 1e6)} MB`
}
