// SPDX-License-Identifier: Apache-2.0
import type { Duplex, Readable } from 'node:stream'
import { requireRival } from '../rivals.ts'

/** The method, with bytes as messages: what a generated codec costs is not measured. */
export const METHOD = {
  path: '/polyloop.benchmark/Blocks',
  requestStream: false,
  responseStream: true,
  requestSerialize: (bytes: Buffer): Buffer => bytes,
  requestDeserialize: (bytes: Buffer): Buffer => bytes,
  responseSerialize: (bytes: Buffer): Buffer => bytes,
  responseDeserialize: (bytes: Buffer): Buffer => bytes,
} as const

export type ServerCall = Duplex
export type ClientCall = Readable & { cancel(): void }

interface Client {
  makeServerStreamRequest(
    path: string,
    serialize: (bytes: Buffer) => Buffer,
    deserialize: (bytes: Buffer) => Buffer,
    argument: Buffer,
  ): ClientCall
  close(): void
}

/** The parts of `@grpc/grpc-js` that are used here; it is not installed where the types are checked. */
interface Grpc {
  readonly Client: new (address: string, credentials: unknown, options: object) => Client
  readonly credentials: { createInsecure(): unknown }
  readonly Server: new (
    options: object,
  ) => {
    addService(service: object, handlers: object): void
    bindAsync(address: string, credentials: unknown, done: (error: Error | null) => void): void
  }
  readonly ServerCredentials: { createInsecure(): unknown }
}

export function grpc(root: string): Grpc {
  return requireRival(root, '@grpc/grpc-js') as Grpc
}
