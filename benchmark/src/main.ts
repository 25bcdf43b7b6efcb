// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Options, parseOptions, USAGE, UsageError } from './options.ts'
import { chart } from './report/chart.ts'
import { intoReadme } from './report/readme.ts'
import { report } from './report/report.ts'
import { type Results, readResults, writeResults } from './report/results.ts'
import { polyloopFailed, run } from './run.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

async function main(): Promise<void> {
  // npm runs scripts in the package's folder and says where the user was.
  const options = parseOptions(process.argv.slice(2), process.env.INIT_CWD ?? process.cwd())
  if (options.help) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  const results = options.from === null ? await measured(options) : readResults(options.from)
  publish(results, options)
  // A slow run is a result; a wrong answer is not.
  if (options.from === null && polyloopFailed(results)) process.exitCode = 1
}

async function measured(options: Options): Promise<Results> {
  const interrupted = new AbortController()
  const interrupt = (): void => interrupted.abort(new Error('interrupted'))
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  try {
    return await run(ROOT, options, interrupted.signal)
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
}

function publish(results: Results, options: Options): void {
  const { rows, machine } = results
  process.stdout.write(`${report(rows, machine)}\n`)
  if (options.json !== null) writeResults(options.json, results)
  if (options.chart !== null) writeFileSync(options.chart, chart(rows, machine))
  for (const file of options.readme) writeFileSync(file, intoReadme(readFileSync(file, 'utf8'), rows, machine))
}

try {
  await main()
} catch (error) {
  const mistake = error instanceof UsageError
  process.stderr.write(
    mistake ? `${error.message}\n\n${USAGE}\n` : `bench: ${error instanceof Error ? error.message : error}\n`,
  )
  process.exitCode = mistake ? 2 : 1
}
