// SPDX-License-Identifier: Apache-2.0
// `npm test`: every suite, or those that are named: `npm test -- rust loom`.
import { runSuites } from '../common/report.ts'
import { suites } from './suites.ts'

process.exitCode = (await runSuites(suites, process.argv.slice(2))) ? 0 : 1
