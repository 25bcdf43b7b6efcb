// SPDX-License-Identifier: Apache-2.0
// `npm run test:nodes`: the host's tests on each version of Node.js.
import { runSuites } from '../common/report.ts'
import { versions } from './versions.ts'

process.exitCode = (await runSuites(versions, process.argv.slice(2))) ? 0 : 1
