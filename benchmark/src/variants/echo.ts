// SPDX-License-Identifier: Apache-2.0

/** What every variant is to the benchmark: something that gives bytes back. */
export interface Echo {
  /** Resolves with bytes equal to `payload` that are the caller's own; `payload` is not changed until then. */
  call(payload: Buffer): Promise<Uint8Array>
  /** Memory for a payload that the guest can read where it is; without it, any memory will do. */
  alloc?(bytes: number): Buffer
  /** Ends all that the variant started: threads, servers, sockets. */
  close(): Promise<void>
}

/** What `prepare` built or found; absolute paths. */
export interface Tools {
  /** The repository's folder. */
  root: string
  /** A folder for sockets, removed when the benchmark ends. */
  scratch: string
  /** The interpreter that all Python variants run on; empty where there is none. */
  python: string
  /** The compiled servers/echo.c and servers/copy.c; empty where there is no compiler. */
  echoServer: string
  copyLibrary: string
}

/** What a variant may prepare for: the largest payload in bytes and the number of calls at a time. */
export interface Load {
  bytes: number
  outstanding: number
}

export type Open = (tools: Tools, load: Load) => Promise<Echo>
