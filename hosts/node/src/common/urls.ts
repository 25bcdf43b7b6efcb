// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url'
import { readFrom } from './call-back.ts'

/**
 * A URL's text; undefined if it is none. Not by its class: test runners and bundlers have URLs of their own.
 *
 * @throws invalid-argument if it does not let itself be asked
 */
export function hrefOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { href, protocol } = readFrom('the locator', () => {
    const { href, protocol } = value as Partial<URL>
    return { href, protocol }
  })
  return typeof href === 'string' && typeof protocol === 'string' ? href : undefined
}

/** The path that a file URL tells, as a text; undefined if it tells none. */
export function pathOf(url: string | undefined): string | undefined {
  try {
    return url === undefined ? undefined : fileURLToPath(url)
  } catch {
    return undefined
  }
}
