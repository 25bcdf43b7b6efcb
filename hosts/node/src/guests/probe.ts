// SPDX-License-Identifier: Apache-2.0
import { isTexts } from '../common/words.ts'

/** What an interpreter says of itself, as `_probe.py` of the Python kit prints it; the loader reads it, and so does its kit. */
export interface Probe {
  readonly implementation: string
  readonly version: string
  readonly version_info: readonly number[]
  readonly executable: string
  readonly prefix: string
  readonly base_prefix: string
  readonly path: readonly string[]
  readonly libpython: readonly string[]
  readonly gil: boolean
  readonly trace_refs: boolean
  readonly bits: number
}

const isText = (value: unknown): boolean => typeof value === 'string'
const isFlag = (value: unknown): boolean => typeof value === 'boolean'
const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >>> 0 === value
const isCounts = (value: unknown): boolean => Array.isArray(value) && value.every(isCount)

const fields: { readonly [Name in keyof Probe]: (value: unknown) => boolean } = {
  implementation: isText,
  version: isText,
  version_info: isCounts,
  executable: isText,
  prefix: isText,
  base_prefix: isText,
  path: isTexts,
  libpython: isTexts,
  gil: isFlag,
  trace_refs: isFlag,
  bits: isCount,
}

/**
 * Reads what was printed: any program may have, so each field is looked at, and what is not known is left out.
 *
 * @throws what is wrong with it
 */
export function toProbe(text: string): Probe {
  const said = JSON.parse(text) as unknown
  if (typeof said !== 'object' || said === null) throw new TypeError('it is not an object')
  const known = Object.entries(fields).map(([name, fits]) => {
    const value = (said as Readonly<Record<string, unknown>>)[name]
    if (!fits(value)) throw new TypeError(`its ${name} is not what it should be`)
    return [name, value]
  })
  return Object.fromEntries(known) as unknown as Probe
}
