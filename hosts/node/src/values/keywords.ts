// SPDX-License-Identifier: Apache-2.0

/** Arguments by name, see {@link kw}. */
export class Keywords<T extends object = object> {
  readonly values: T

  constructor(values: T) {
    this.values = values
  }
}

/**
 * Arguments by name, as the last argument of a call, or the last before a stream:
 * `guest.plot(data, kw({ axis: 1 }))` is `plot(data, axis=1)`. A Rust guest gets them where its parameters have those names.
 */
export function kw<T extends object>(values: T): Keywords<T> {
  return new Keywords(values)
}

/** What keeps arguments by name from being arguments by position. */
export class MisplacedKeyword extends TypeError {}

/**
 * Arguments by position, for a guest that knows no others.
 *
 * @param params - the names of the function's parameters
 * @throws MisplacedKeyword
 */
export function toPositions(
  args: readonly unknown[],
  { values }: Keywords,
  name: string,
  params: readonly string[] | undefined,
): unknown[] {
  if (params === undefined) throw new MisplacedKeyword(`${name} takes no arguments by name: pass them by position`)
  const signature = `${name}(${params.join(', ')})`
  const placed = [...args]
  for (const [key, value] of Object.entries(values)) {
    const index = params.indexOf(key)
    if (index < 0) throw new MisplacedKeyword(`${signature} has no parameter '${key}'`)
    if (index < args.length) throw new MisplacedKeyword(`${signature} has '${key}' by position already`)
    while (placed.length < index) placed.push(undefined)
    placed[index] = value
  }
  return placed
}
