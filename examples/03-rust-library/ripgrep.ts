// SPDX-License-Identifier: Apache-2.0

/** What to look for. */
export interface Query {
  /** A regular expression in Rust's syntax. */
  pattern: string
  folder: string
  ignoreCase?: boolean
  /** Whether to search hidden files too, and what .gitignore names. */
  everything?: boolean
  /** How many matches to return, none by default; all are counted. */
  limit?: number
}

/** The functions of ripgrep.rs. */
export interface Ripgrep {
  search(query: Query): {
    files: number
    bytes: number
    count: number
    matches: { path: string; line: number; text: string }[]
  }
}
