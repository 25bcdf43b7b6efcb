// SPDX-License-Identifier: Apache-2.0
// vitest as a suite.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vitestCounts } from '../common/counts.ts'
import { exec } from '../common/exec.ts'
import type { Result } from '../common/report.ts'

/** Runs the tests below `folders`, or of the files that are named, on the Node.js that `node` names. */
export async function vitest(
  folders: readonly string[],
  node: string = process.execPath,
  env: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const scratch = mkdtempSync(join(tmpdir(), 'polyloop-vitest-'))
  const report = join(scratch, 'report.json')
  try {
    const args = [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ]
    const { output, ended } = await exec(
      node,
      [...args, ...folders.map((folder) => (folder.endsWith('.ts') ? folder : `${folder}/`))],
      {
        env: { NO_COLOR: '1', ...env },
      },
    )
    return { counts: vitestCounts(readFileSync(report, 'utf8')), output, ended }
  } catch (error) {
    return { counts: { passed: 0, failed: 0, skipped: 0 }, output: String(error), ended: 'vitest wrote no report' }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
