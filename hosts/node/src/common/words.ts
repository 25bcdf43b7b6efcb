// SPDX-License-Identifier: Apache-2.0
// The boundary to words of others: what a guest, its process, a guard or a broker says is read field by field.

/** The fields of an object that a text of JSON stands for; none if the text stands for anything else. Never throws. */
export function fieldsOf(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
  } catch {
    return {}
  }
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}
