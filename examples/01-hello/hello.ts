// SPDX-License-Identifier: Apache-2.0
import { load } from 'polyloop'

interface Hello {
  greet(name: string): string
}

await using python = await load<Hello>('python:examples/01-hello/hello.py')
await using rust = await load<Hello>(`rust:${process.env.CARGO_TARGET_DIR ?? 'target'}/release/libhello.so`)

console.log(await Promise.all([python.greet('Ada'), rust.greet('Ada')]))
