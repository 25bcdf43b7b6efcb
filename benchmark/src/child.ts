// SPDX-License-Identifier: Apache-2.0
// The process of one cell. Its one argument is JSON: {cell, tools}. It sends {sample} or {error} to its parent.
import type { Cell } from './cell.ts'
import { measure } from './measure.ts'
import type { Tools } from './variants/echo.ts'

const { cell, tools } = JSON.parse(process.argv[2] ?? '{}') as { cell: Cell; tools: Tools }

process.once('disconnect', () => process.exit(1))

function answer(message: object): void {
  process.send?.(message, () => process.disconnect?.())
}

try {
  const sample = await measure(cell, tools)
  process.removeAllListeners('disconnect')
  answer({ sample })
} catch (error) {
  process.removeAllListeners('disconnect')
  answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  process.exitCode = 1
}
