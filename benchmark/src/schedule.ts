// SPDX-License-Identifier: Apache-2.0
import type { Cell } from './cell.ts'
import type { Extent, Options } from './options.ts'
import { IN_PLACE_NAMES, isEchoName, STREAM_NAMES, type VariantName } from './variants/names.ts'

export const SIZES = [512, 4096, 10_240, 102_400] as const
export const OUTSTANDING = [1, 64, 1024] as const
export const STREAM_SIZES = [64, 10_240] as const

/** What of it each extent measures. */
const RANGES: Record<
  Extent,
  { sizes: readonly number[]; outstandings: readonly number[]; streamSizes: readonly number[] }
> = {
  full: { sizes: SIZES, outstandings: OUTSTANDING, streamSizes: STREAM_SIZES },
  quick: { sizes: [512, 10_240], outstandings: [1, 64], streamSizes: [64] },
  smoke: { sizes: [512], outstandings: [1, 64], streamSizes: [64] },
}

/** How much time each extent takes; `budgetMs` bounds the whole, with the `installMs` that rivals may take. */
interface Pace {
  runs: number
  warmMs: number
  measureMs: number
  healthMs: number
  idleMs: number
  installMs: number
  budgetMs: number
}

export const PACES: Record<Extent, Pace> = {
  full: { runs: 5, warmMs: 250, measureMs: 500, healthMs: 1000, idleMs: 3000, installMs: 180_000, budgetMs: 840_000 },
  quick: { runs: 3, warmMs: 150, measureMs: 120, healthMs: 500, idleMs: 3000, installMs: 0, budgetMs: 52_000 },
  smoke: { runs: 1, warmMs: 2, measureMs: 5, healthMs: 10, idleMs: 10, installMs: 0, budgetMs: 280_000 },
}

/** What variants can be measured on this machine, and whether it has more than one processor. */
export interface Field {
  variants: readonly VariantName[]
  processors: number
}

/**
 * All cells in the order in which they are measured. The variants alternate, so that what disturbs the machine for a
 * while disturbs all of them; rounds repeat, so that what cuts the schedule short cuts repetitions first.
 */
export function schedule(options: Options, field: Field): Cell[] {
  const runs = options.runs ?? PACES[options.extent].runs
  const cells: Cell[] = []
  for (let run = 0; run < runs; run++) {
    if (run === 0 || options.extent === 'full') cells.push(...healthCells(options, field))
    const variants = rotate(field.variants, run)
    cells.push(...echoCells(options, variants.filter(isEchoName)), ...streamCells(options, variants))
    cells.push(...instanceCells(options, field))
    if (wantsPinnedCells(options, field)) cells.push(...pinnedCells(options, field.variants))
  }
  return cells
}

function echoCells(options: Options, variants: readonly VariantName[]): Cell[] {
  const { warmMs, measureMs } = PACES[options.extent]
  const { sizes, outstandings } = RANGES[options.extent]
  return outstandings.flatMap((outstanding) =>
    sizes.flatMap((bytes) => {
      const common = { bytes, outstanding, pin: options.cpu, warmMs, measureMs } as const
      return [
        ...variants.map((variant) => ({ ...common, bench: 'echo', variant }) as const),
        // Beside those that it is compared with.
        ...inPlace(options, variants, bytes, outstanding).map(
          (variant) => ({ ...common, bench: 'in-place', variant }) as const,
        ),
      ]
    }),
  )
}

/** Requests that are smaller are copied in any case. */
function inPlace(
  options: Options,
  variants: readonly VariantName[],
  bytes: number,
  outstanding: number,
): VariantName[] {
  if (options.extent !== 'full' || options.cpu !== null || bytes <= 4096 || outstanding > 64) return []
  return IN_PLACE_NAMES.filter((name) => variants.includes(name))
}

function streamCells(options: Options, variants: readonly VariantName[]): Cell[] {
  const { warmMs, measureMs } = PACES[options.extent]
  const { streamSizes } = RANGES[options.extent]
  const common = { bench: 'stream', outstanding: 1, pin: options.cpu, warmMs, measureMs } as const
  const names = STREAM_NAMES.filter((name) => variants.includes(name))
  return streamSizes.flatMap((bytes) => names.map((variant) => ({ ...common, variant, bytes })))
}

// Two instances want two processors.
function instanceCells(options: Options, field: Field): Cell[] {
  const variant = 'polyloop-python-process'
  if (options.cpu !== null || field.processors < 2 || !field.variants.includes(variant)) return []
  const { warmMs, measureMs } = PACES[options.extent]
  // A call takes milliseconds: what is enough to count others is a few hundred of these.
  const pace = { warmMs: 2 * warmMs, measureMs: 3 * measureMs }
  return [1, 2].map((outstanding) => ({ bench: 'instances', variant, bytes: 0, outstanding, pin: null, ...pace }))
}

// The goals for one processor are about these two only.
function pinnedCells(options: Options, variants: readonly VariantName[]): Cell[] {
  const compared = variants.filter((variant) => variant === 'polyloop-rust' || variant === 'uds-c')
  return echoCells({ ...options, cpu: 0 }, compared).filter((cell) => cell.outstanding <= 64)
}

function wantsPinnedCells(options: Options, field: Field): boolean {
  return options.extent === 'full' && options.cpu === null && field.processors > 1
}

const WATCHED: readonly VariantName[] = ['polyloop-rust', 'polyloop-python', 'uds-c']

function healthCells(options: Options, field: Field): Cell[] {
  const { warmMs, healthMs, idleMs } = PACES[options.extent]
  const common = { bytes: 512, pin: options.cpu, warmMs }
  const watched = field.variants.filter((variant) => WATCHED.includes(variant))
  const cells: Cell[] = watched.map((variant) => {
    return { ...common, bench: 'loop-health', variant, outstanding: 1024, measureMs: healthMs }
  })
  if (field.variants.includes('polyloop-rust') && field.variants.includes('polyloop-python')) {
    const variant = 'polyloop-rust+polyloop-python'
    cells.push({ ...common, bench: 'idle', variant, outstanding: 0, measureMs: idleMs })
  }
  return cells
}

function rotate<T>(list: readonly T[], by: number): T[] {
  const start = list.length === 0 ? 0 : by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}
