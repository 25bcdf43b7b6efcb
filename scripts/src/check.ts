// SPDX-License-Identifier: Apache-2.0
// `npm run check`: formats, lints, types, layers. No warning passes.
import { checks } from './checks.ts'
import { runSuites } from './report.ts'

process.exitCode = (await runSuites(checks, process.argv.slice(2))) ? 0 : 1
