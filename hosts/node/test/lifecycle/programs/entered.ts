// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module'
import { addOn } from '../paths.ts'

/** Calls of the add-on's functions, counted here: a package that is imported later gets the same object. */
export const entered: Record<string, number> = {}

const binding = createRequire(import.meta.url)(addOn) as Record<string, (...args: unknown[]) => unknown>
for (const [name, call] of Object.entries(binding)) {
  binding[name] = (...args) => {
    entered[name] = (entered[name] ?? 0) + 1
    return call(...args)
  }
}
