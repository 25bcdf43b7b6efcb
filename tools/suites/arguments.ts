// SPDX-License-Identifier: Apache-2.0
// What is said after `npm test --`: names of suites, and which cells of conformance to run.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from '../common/exec.ts'

/** How much is run: at every save, at every commit, at night. */
export const tiers = ['quick', 'test', 'full'] as const
export type Tier = (typeof tiers)[number]

/** Where a guest may live. */
export const placements = ['thread', 'process', 'shared'] as const

/** Which cells of conformance to run; an empty list stands for those that the tier runs. */
export interface Cells {
  guests: readonly string[]
  placements: readonly string[]
}

/** What to run. */
export interface Order extends Cells {
  tier: Tier
  /** Suites; all of the tier if none is named. */
  suites: readonly string[]
}

/** A mistake of the caller's; the message says what there is. */
export class Mistake extends Error {}

/** The languages that have fixtures. */
export function languages(): string[] {
  const entries = readdirSync(join(root, 'conformance', 'fixtures'), { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}

/** An option that may be given several times, and hold several names with commas between them. */
function names(option: string, given: readonly string[] = [], there: readonly string[]): string[] {
  const found = given.flatMap((list) => list.split(',')).map((name) => name.trim())
  const unknown = found.filter((name) => !there.includes(name))
  if (unknown.length > 0)
    throw new Mistake(`--${option}: there is no ${unknown.join(', ') || "''"}; there are ${there.join(', ')}`)
  return [...new Set(found)]
}

function parse(args: readonly string[]): { values: { guest?: string[]; placement?: string[] }; positionals: string[] } {
  const several = { type: 'string', multiple: true } as const
  try {
    return parseArgs({ args: [...args], options: { guest: several, placement: several }, allowPositionals: true })
  } catch (error) {
    throw new Mistake(`${(error as Error).message}; the options are --guest NAME and --placement NAME`)
  }
}

/** Reads `TIER [suite...] [--guest NAME] [--placement NAME]`. */
export function readOrder([tier, ...args]: readonly string[], guests: readonly string[] = languages()): Order {
  if (!tiers.includes(tier as Tier)) throw new Mistake(`there is no tier '${tier}'; there are ${tiers.join(', ')}`)
  const { values, positionals } = parse(args)
  const order = {
    tier: tier as Tier,
    suites: positionals,
    guests: names('guest', values.guest, guests),
    placements: names('placement', values.placement, placements),
  }
  const chosen = order.guests.length + order.placements.length > 0
  if (chosen && !order.suites.includes('conformance'))
    throw new Mistake('--guest and --placement choose cells of the suite conformance, which has to be named')
  return order
}
