// SPDX-License-Identifier: Apache-2.0
// Which suite is in which tier of tests, and what it runs there.
import { checks } from '../checks/checks.ts'
import type { Result, Suite } from '../common/report.ts'
import { coverage } from '../coverage/coverage.ts'
import { isAtHand, MAJORS } from '../versions/nodes.ts'
import { type Cells, type Order, placements, tiers } from './arguments.ts'
import { conformance } from './conformance.ts'
import { attacks, chaos, examples, host, packed, processes, programs, slice, units, whole } from './host.ts'
import { loom, rings, rust } from './rust.ts'
import { sanitizers } from './sanitizers.ts'
import { typeTests } from './typetests.ts'

/** Runs a suite; the suite of conformance is told which of its cells. */
type Run = (cells: Cells) => Promise<Result>

/** A suite, and what it runs in each tier; undefined in those that leave it out. */
type Row = readonly [suite: string, quick: Run | undefined, test: Run | undefined, full: Run | undefined]

const no = undefined
const [oldest, newest] = [MAJORS[0], MAJORS.at(-1)]

/** Checks that take longer, or find what changes seldom. */
const slowChecks = ['clippy', 'rustdoc', 'publint', 'attw', 'licences']

const forChecks = checks.map(({ name, run }): Row => [name, slowChecks.includes(name) ? no : run, run, run])

/** Of the oldest and the newest version a slice, unless it is the one that runs all of it; at night all of each. */
const forNodes = MAJORS.map((major): Row => {
  const isSliced = (major === oldest || major === newest) && !isAtHand(major)
  return [`node-${major}`, no, isSliced ? () => slice(major) : no, () => whole(major)]
})

const inside: Run = (cells) => conformance(cells, ['thread', 'process'])
const everywhere: Run = (cells) => conformance(cells, placements)

/** The tiers. */
// biome-ignore format: a table
const table: readonly Row[] = [
  // suite          quick      test                 full
  ...forChecks,
  ['type-tests',    typeTests, typeTests,           typeTests],
  ['units',         units,     units,               units],
  ['rings',         rings,     no,                  no],
  ['rust',          no,        () => rust('ends'),  () => rust('all')],
  ['loom',          no,        loom,                loom],
  ['sanitizers',    no,        no,                  sanitizers],
  ['host',          no,        host,                no],
  ...forNodes,
  ['processes',     no,        no,                  processes],
  ['conformance',   no,        inside,              everywhere],
  ['examples',      no,        examples,            no],
  ['package',       no,        packed,              packed],
  ['chaos',         no,        () => chaos(90),     () => chaos(1200)],
  ['attacks',       no,        no,                  attacks],
  ['programs',      no,        no,                  programs],
  ['coverage',      no,        no,                  coverage],
]

const checkNames = new Set(checks.map(({ name }) => name))

/** The suites of a tier; if some are named, every suite, those that the tier leaves out as another tier runs them. */
export function suitesOf({ tier, suites, ...cells }: Order): Suite[] {
  const column = tiers.indexOf(tier)
  return table.flatMap(([name, ...runs]) => {
    const run = runs[column] ?? (suites.length > 0 ? runs.find(Boolean) : undefined)
    return run ? [{ name, run: () => run(cells), aside: checkNames.has(name) }] : []
  })
}
