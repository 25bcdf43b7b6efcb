// SPDX-License-Identifier: Apache-2.0
// `npm run format`: brings every file into shape.
import { exec, pythonTool, tool } from '../common/exec.ts'
import { writeOptions } from '../docs/options.ts'

await writeOptions()
const runs = [
  await tool('@biomejs/biome/bin/biome', ['check', '--write', '--colors=off', '.']),
  await exec('cargo', ['fmt', '--all']),
  await exec(pythonTool('ruff'), ['check', '--fix', '.']),
  await exec(pythonTool('ruff'), ['format', '.']),
]
for (const { output } of runs) console.log(output.trimEnd())
process.exitCode = runs.every(({ ended }) => ended === undefined) ? 0 : 1
