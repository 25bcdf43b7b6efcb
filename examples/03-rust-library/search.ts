// SPDX-License-Identifier: Apache-2.0
import { load } from 'polyloop'
import type { Ripgrep } from './ripgrep.ts'

const [pattern = 'function monitorEventLoopDelay', folder = 'node_modules/@types/node'] = process.argv.slice(2)
await using ripgrep = await load<Ripgrep>(`rust:${process.env.CARGO_TARGET_DIR ?? 'target'}/release/libripgrep.so`)

const { files, bytes, count, matches } = await ripgrep.search({ pattern, folder, limit: 100 })
for (const { path, line, text } of matches) console.log(`${path}:${line}: ${text.trim()}`)
console.log(`${count} lines of ${files} files, ${(bytes / 1e6).toFixed(1)} MB`)
