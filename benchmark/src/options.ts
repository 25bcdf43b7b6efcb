// SPDX-License-Identifier: Apache-2.0
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { isVariantName, QUICK_NAMES, VARIANT_NAMES, type VariantName } from './variants/names.ts'

export const USAGE: string = `npm run bench -- [options]
  --quick        ends within 60 seconds: fewer and shorter runs, two sizes, and without --only few variants
  --cpu N        pins all processes to processor N
  --runs N       how many processes measure each cell (default 5)
  --only A,B     only these variants: ${VARIANT_NAMES.join(' ')}
  --json FILE    writes the rows, and the machine beside them (FILE ending in .machine.json)
  --from FILE    measures nothing: takes the rows of such a file
  --chart FILE   draws them as SVG
  --readme FILE  writes them into a Markdown file: all between its bench:start and bench:end comments, one table between
                 bench:summary:start and bench:summary:end; may be given several times
  --smoke        a few milliseconds a cell: tries that everything works, its figures mean nothing`

/** How much is measured. */
export type Extent = 'full' | 'quick' | 'smoke'

/** Files are absolute paths. */
export interface Options {
  help: boolean
  extent: Extent
  cpu: number | null
  runs: number | null
  only: readonly VariantName[]
  json: string | null
  from: string | null
  chart: string | null
  readme: readonly string[]
}

/** The caller's mistake: its message says what to do. */
export class UsageError extends Error {}

/**
 * @param folder what relative paths are relative to
 * @throws UsageError
 */
export function parseOptions(args: readonly string[], folder: string): Options {
  const values = parse(args)
  const file = (path: string | undefined): string | null => (path === undefined ? null : resolve(folder, path))
  return {
    help: values.help ?? false,
    extent: values.smoke ? 'smoke' : values.quick ? 'quick' : 'full',
    cpu: wholeNumber('--cpu', values.cpu, 0),
    runs: wholeNumber('--runs', values.runs, 1),
    only: variantNames(values.only) ?? (values.quick ? QUICK_NAMES : VARIANT_NAMES),
    json: file(values.json),
    from: file(values.from),
    chart: file(values.chart),
    readme: (values.readme ?? []).map((path) => resolve(folder, path)),
  }
}

type Values = Partial<Record<'cpu' | 'runs' | 'only' | 'json' | 'from' | 'chart', string>> &
  Partial<Record<'readme', string[]>> &
  Partial<Record<'help' | 'quick' | 'smoke', boolean>>

function parse(args: readonly string[]): Values {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const files = { json: text, from: text, chart: text, readme: { type: 'string', multiple: true } } as const
  const options = { ...files, cpu: text, runs: text, only: text, quick: flag, smoke: flag, help: flag }
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function wholeNumber(name: string, value: string | undefined, least: number): number | null {
  if (value === undefined) return null
  if (!/^\d+$/.test(value) || Number(value) < least) {
    throw new UsageError(`${name} takes a whole number from ${least}, not "${value}"`)
  }
  return Number(value)
}

function variantNames(list: string | undefined): readonly VariantName[] | undefined {
  if (list === undefined) return undefined
  const names = list.split(',')
  const unknown = names.find((name) => !isVariantName(name))
  if (unknown !== undefined) {
    throw new UsageError(`--only: no variant is called "${unknown}"; there are ${VARIANT_NAMES.join(', ')}`)
  }
  return names.filter(isVariantName)
}
