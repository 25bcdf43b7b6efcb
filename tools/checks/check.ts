// SPDX-License-Identifier: Apache-2.0
// `npm run check`: formats, lints, types, layers. No warning passes.

import { runSuites } from '../common/report.ts'
import { checks } from './checks.ts'

process.exitCode = (await runSuites(checks, process.argv.slice(2))) ? 0 : 1
