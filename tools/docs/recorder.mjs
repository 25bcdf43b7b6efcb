// SPDX-License-Identifier: Apache-2.0
// Loaded before a program of the documents: writes down what it calls, in the file that RECORDED names.
import { subscribe } from 'node:diagnostics_channel'
import { appendFileSync } from 'node:fs'

const calls = new Set()
subscribe('polyloop:call:start', ({ runtime, method }) => calls.add(`${runtime} ${method}\n`))
process.on('exit', () => appendFileSync(process.env.RECORDED, [...calls].join('')))
