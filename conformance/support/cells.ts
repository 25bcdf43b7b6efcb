// SPDX-License-Identifier: Apache-2.0
// A column of the matrix as tests: each case, or claim, in each selected row whose kit can do what it needs.
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { loadSubject, type SubjectOptions } from '../hosts/node.ts'
import { has, type Placement } from '../languages.ts'
import type { Subject } from '../subject.ts'
import { watchBy } from './expect.ts'
import { type Row, selectRows } from './selection.ts'

/** Where a test's result belongs in the matrix. */
interface Cell {
  readonly column: string
  readonly language: string
  readonly placement: Placement
}

/** What the matrix is told of a column's cells before they have run. */
interface Planned extends Cell {
  readonly cases: number
  /** Names of cases that the kit says it cannot do. */
  readonly cannot: readonly string[]
}

declare module 'vitest' {
  interface TaskMeta {
    cell?: Cell
    planned?: readonly Planned[]
  }
}

/** What a case is run with. */
export interface Bench extends Row {
  /** The guest that all cases of the cell have in common. */
  readonly guest: Subject
  /** Loads a guest of the case's own, which is unloaded at the end of the cell if it was not before. */
  readonly load: (options?: SubjectOptions) => Promise<Subject>
  /** The guest that all cases of the cell with these options have in common. */
  readonly loadOnce: (options: SubjectOptions) => Promise<Subject>
}

/** One test of a column. */
export interface Claim {
  readonly name: string
  /** Abilities that the kit must have. */
  readonly needs?: readonly string[]
  /** Where it makes sense; everywhere unless it says so. */
  readonly placements?: readonly Placement[]
  readonly run: (bench: Bench) => Promise<void>
}

/** Defines the tests of a column. A selected cell without cases is a failure. */
export function column(name: string, claims: readonly Claim[], rows: readonly Row[] = selectRows()): void {
  const cells = rows
    .map((row) => plan(name, claims, row))
    .filter(({ about }) => about)
    .map(({ row, ready, planned }) => ({ row, ready, planned }))
  describe(name, () => {
    test('every selected cell has cases, or says that it cannot', {
      meta: { planned: cells.map((c) => c.planned) },
    }, () => {
      for (const { planned } of cells) {
        expect(planned.cases + planned.cannot.length, `${planned.language}, ${planned.placement}`).toBeGreaterThan(0)
      }
    })
    for (const { row, ready, planned } of cells) if (ready.length > 0) cell(row, ready, planned)
  })
}

function plan(
  name: string,
  claims: readonly Claim[],
  row: Row,
): { row: Row; ready: Claim[]; planned: Planned; about: boolean } {
  const { language, placement } = row
  const about = claims.filter(({ placements }) => placements === undefined || placements.includes(placement))
  const canLiveThere = has(language, `placements:${placement}`)
  const can = ({ needs = [] }: Claim): boolean => canLiveThere && needs.every((need) => has(language, need))
  const ready = about.filter(can)
  const cannot = about.filter((claim) => !can(claim)).map((claim) => claim.name)
  const planned = { column: name, language: language.name, placement, cases: ready.length, cannot }
  // A column of which no claim is about this placement has no cell there; one without any claim is an empty cell.
  return { row, ready, planned, about: about.length > 0 || claims.length === 0 }
}

function cell(row: Row, claims: readonly Claim[], { column, language, placement }: Planned): void {
  describe(`${language}, ${placement}`, { meta: { cell: { column, language, placement } } }, () => {
    const loaded: Subject[] = []
    const load = async (options?: SubjectOptions): Promise<Subject> => {
      const subject = await loadSubject(row, options)
      loaded.push(subject)
      return subject
    }
    const common = new Map<string, Promise<Subject>>()
    const loadOnce = (options: SubjectOptions): Promise<Subject> => {
      const key = JSON.stringify(options)
      const found = common.get(key) ?? load(options)
      common.set(key, found)
      return found
    }
    let guest: Subject
    let isSpoiled = true
    beforeEach(async () => {
      // A claim that failed may have left them with calls in flight.
      if (isSpoiled) {
        common.clear()
        guest = await load()
      }
      isSpoiled = true
    })
    afterAll(async () => {
      await Promise.all(loaded.map((subject) => subject.unload()))
    })
    for (const claim of claims) {
      test(claim.name, async ({ signal }) => {
        watchBy(signal)
        await claim.run({ ...row, guest, load, loadOnce })
        isSpoiled = false
      })
    }
  })
}
