// SPDX-License-Identifier: Apache-2.0
// Reads what was thrown: anything can be.
import { getSystemErrorName } from 'node:util'
import { PolyloopError, type PolyloopErrorCode } from './errors.ts'

/** Whether it is an error of ours, already. Never throws. */
export function isOurs(error: unknown): error is PolyloopError {
  try {
    return error instanceof PolyloopError
  } catch {
    return false
  }
}

/** In words, what was thrown. Never throws. */
export function reasonOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return 'what was thrown cannot be read'
  }
}

const isForbidden =
  "the system forbids it: allow it in the seccomp filter or the policy of this process's container, or, for a guest in " +
  "a process of its own, try placement: 'thread'"

/** What the system refuses, by the name of its error: our code for it, and what to do. */
const refusals: Readonly<Record<string, readonly [code: PolyloopErrorCode, advice: string]>> = {
  EMFILE: ['overloaded', 'a process has as many descriptors as it may have: close some, or raise ulimit -n'],
  ENFILE: ['overloaded', 'the machine has as many open files as it may have: close some, or raise fs.file-max'],
  ENOMEM: ['overloaded', 'there is no memory, or no address space: free some, or raise ulimit -v'],
  EAGAIN: ['overloaded', 'no more threads or processes may be started: end some, or raise ulimit -u or pids.max'],
  ENOSPC: ['overloaded', 'there is no space left: free some'],
  EDQUOT: ['overloaded', 'there is no space left for this user: free some'],
  E2BIG: ['too-large', 'the environment and the arguments of a process may not be so long: shorten process.env'],
  EACCES: ['init-failed', 'this user may not do that: set the permissions (a program has to be executable)'],
  EPERM: ['init-failed', isForbidden],
  ENOSYS: ['init-failed', isForbidden],
  ENOEXEC: ['init-failed', 'it is no program for this machine: name another'],
  EROFS: ['init-failed', 'the file system is read-only: name a folder of another'],
  ENOENT: ['init-failed', 'a file or a folder is missing: correct the path'],
  ENOTDIR: ['init-failed', 'a folder of the path is a file: correct the path'],
}

/** The name of the system's error that was thrown, or that a text of the native side tells; undefined if it is none. */
function systemErrorOf(error: unknown, reason: string): string | undefined {
  try {
    const { code } = error as NodeJS.ErrnoException
    if (typeof code === 'string' && Object.hasOwn(refusals, code)) return code
  } catch {
    // What was thrown has no code.
  }
  const [, number] = /\(os error (\d{1,3})\)/.exec(reason) ?? []
  if (number !== undefined && Number(number) > 0) return getSystemErrorName(-Number(number))
  return /\bE[A-Z0-9]{3,}\b/.exec(reason)?.[0]
}

/** The code and the advice for what the system refused; undefined if the system did not, or what to do is not known. */
export function refusalOf(error: unknown): { readonly code: PolyloopErrorCode; readonly advice: string } | undefined {
  const name = systemErrorOf(error, reasonOf(error))
  if (name === undefined || !Object.hasOwn(refusals, name)) return undefined
  const [code, advice] = refusals[name] as readonly [PolyloopErrorCode, string]
  return { code, advice }
}

/**
 * The error of ours for whatever was thrown: an error of ours as it is, what the system refused with advice.
 *
 * @param what - what could not be done, as the beginning of a sentence
 * @param code - the code where the system's error does not tell another
 */
export function toPolyloop(error: unknown, what: string, code: PolyloopErrorCode = 'init-failed'): PolyloopError {
  if (isOurs(error)) return error
  const refusal = refusalOf(error)
  const message = `${what}: ${reasonOf(error)}${refusal === undefined ? '' : `; ${refusal.advice}`}`
  return new PolyloopError(refusal?.code ?? code, message, { cause: error })
}
