// SPDX-License-Identifier: Apache-2.0
// Which cells of the matrix are run: POLYLOOP_CONFORMANCE_GUESTS and POLYLOOP_CONFORMANCE_PLACEMENTS.
import { type Language, languages, type Placement, placements } from '../languages.ts'

/** What is run where: one row of the matrix. */
export interface Row {
  readonly language: Language
  readonly placement: Placement
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The rows that the environment asks for: all languages, on threads and in a process, unless it says otherwise.
 *
 * @throws an error that says what there is, if a name is unknown or a list is empty
 */
export function selectRows(environment: Environment = process.env): Row[] {
  const names = languages.map(({ name }) => name)
  const guests = list(environment, 'POLYLOOP_CONFORMANCE_GUESTS', names, names)
  const homes = list(environment, 'POLYLOOP_CONFORMANCE_PLACEMENTS', placements, ['thread', 'process'])
  return languages
    .filter(({ name }) => guests.includes(name))
    .flatMap((language) =>
      placements.filter((placement) => homes.includes(placement)).map((placement) => ({ language, placement })),
    )
}

function list(
  environment: Environment,
  variable: string,
  known: readonly string[],
  usual: readonly string[],
): string[] {
  const text = environment[variable]
  if (text === undefined) return [...usual]
  const names = text.split(',').map((name) => name.trim())
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return names
  throw new Error(`${variable} names '${unknown}', which does not exist: there are ${known.join(', ')}`)
}
