// SPDX-License-Identifier: Apache-2.0
// A worker whose guests print just before it ends.
import { ownGuest, rustGuest } from '../paths.ts'
import { load } from './support.ts'

const own = await load<{ print_both(number: number): void }>(ownGuest)
const rust = await load<{ log_lines(count: number): void }>(rustGuest)
await Promise.all([own.print_both(7), rust.log_lines(2)])
if (process.argv[2] === 'exit') process.exit(0)
