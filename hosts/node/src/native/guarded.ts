// SPDX-License-Identifier: Apache-2.0
import { toPolyloop } from '../common/reasons.ts'

/**
 * Native functions whose errors are ours: what the system refuses them is told with a code, and what to do.
 *
 * @param whats - what cannot be done if such a function throws; the others stay as they are
 */
export function guarded<T extends object>(binding: T, whats: Readonly<Partial<Record<keyof T, string>>>): T {
  const functions = { ...binding } as Record<keyof T, (...args: unknown[]) => unknown>
  for (const [name, what] of Object.entries(whats) as [keyof T, string][]) {
    const run = functions[name]
    functions[name] = (...args) => {
      try {
        return run(...args)
      } catch (error) {
        throw toPolyloop(error, what)
      }
    }
  }
  return functions as T
}
