// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** The folder of the packages that only the benchmark installs. */
export function rivalsFolder(root: string): string {
  return join(root, 'benchmark', 'rivals')
}

/** Loads a package from that folder, as `require` would there. */
export function requireRival(root: string, name: string): unknown {
  return createRequire(join(rivalsFolder(root), 'package.json'))(name)
}
