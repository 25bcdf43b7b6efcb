// SPDX-License-Identifier: Apache-2.0
import type { LoadOptions } from 'polyloop'

/** A process holds one Python, so all its Python guests name the same virtual environment. */
export const python: LoadOptions = { venv: 'examples/02-python-library/.venv' }

/** Where Cargo puts the library of a guest. */
export function rustGuest(name: string): string {
  return `rust:${process.env.CARGO_TARGET_DIR ?? 'target'}/release/lib${name}.so`
}

/** The guests of 01-hello. */
export interface Hello {
  greet(name: string): string
}
