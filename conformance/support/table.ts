// SPDX-License-Identifier: Apache-2.0
// The matrix as text.

/** What became of a cell. */
export interface Outcome {
  readonly column: string
  readonly language: string
  readonly placement: string
  readonly passed: number
  readonly failed: number
  /** Cases that the kit says it cannot do. */
  readonly cannot: number
}

/** The table between the line `conformance matrix` and an empty one: a row a language and placement, columns by their names. */
export function render(outcomes: readonly Outcome[]): string {
  const columns = unique(outcomes.map(({ column }) => column)).sort()
  const rows = unique(outcomes.map(rowOf))
  const lines = rows.map((row) => [
    row,
    ...columns.map((column) => cellText(outcomes.find((one) => rowOf(one) === row && one.column === column))),
  ])
  const all = [['', ...columns], ...lines]
  const widths = ['', ...columns].map((_, index) => Math.max(...all.map((line) => (line[index] as string).length)))
  const text = all.map((line) =>
    line
      .map((cell, index) => cell.padEnd(widths[index] as number))
      .join('  ')
      .trimEnd(),
  )
  return ['conformance matrix', ...text, ''].join('\n')
}

/** A column that has nothing to say of a placement has no cell there. */
function cellText(outcome: Outcome | undefined): string {
  if (outcome === undefined) return '-'
  const { passed, failed, cannot } = outcome
  if (passed + failed + cannot === 0) return 'no cases: failed'
  if (passed + failed === 0) return 'cannot'
  const parts = [failed > 0 && `${failed} failed`, passed > 0 && `${passed} passed`, cannot > 0 && `${cannot} cannot`]
  return parts.filter((part) => part !== false).join(', ')
}

const rowOf = ({ language, placement }: Outcome): string => `${language}, ${placement}`
const unique = (texts: readonly string[]): string[] => [...new Set(texts)]
