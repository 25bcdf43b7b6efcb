// SPDX-License-Identifier: Apache-2.0
// vitest as a suite.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sum, vitestCounts } from '../common/counts.ts'
import { exec } from '../common/exec.ts'
import type { Result } from '../common/report.ts'

/** A project of vitest.config.ts: `units` run side by side, the files of the others one after the other. */
type Project = 'units' | 'host' | 'programs'

/** Which tests to run, and how. */
export interface VitestOptions {
  /** All of them if none is named. */
  projects?: readonly Project[]
  /** Files and folders; all of the projects' if none is named. */
  files?: readonly string[]
  /** The Node.js that runs them: the one that runs this, if none is named. */
  node?: string
  env?: Readonly<Record<string, string>>
  /** More options of vitest. */
  args?: readonly string[]
}

/** Runs tests by vitest. */
export async function vitest(options: VitestOptions): Promise<Result> {
  const { projects = [], files = [], node = process.execPath, env = {}, args = [] } = options
  const scratch = mkdtempSync(join(tmpdir(), 'polyloop-vitest-'))
  const report = join(scratch, 'report.json')
  try {
    const { output, ended } = await exec(
      node,
      [
        'node_modules/vitest/vitest.mjs',
        'run',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${report}`,
        ...projects.map((project) => `--project=${project}`),
        ...args,
        // A folder ends in a slash, or else its name would stand for every path that has it inside.
        ...files.map((file) => (file.endsWith('.ts') ? file : `${file}/`)),
      ],
      { env: { NO_COLOR: '1', ...env } },
    )
    if (existsSync(report)) return { counts: vitestCounts(readFileSync(report, 'utf8')), output, ended }
    return { counts: sum([]), output, ended: `vitest wrote no report: ${ended ?? 'it ended as if all were well'}` }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
