/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C ABI between a Polyloop host and its guests. Generated from crates/abi/src/lib.rs: change that file, then run
 *   POLYLOOP_WRITE_HEADER=1 cargo test -p polyloop-abi --test header
 *
 * A guest is a shared library that exports the two functions at the end of this file. `polyloop_guest_start` runs once
 * for a runtime, on a thread of its own that may block: it initialises the guest, calls `ready` with the manifest and
 * spawns the threads that call `take`. From then on every task that `take` hands out is answered by exactly one
 * `respond`. When the host unloads the runtime, `take` answers PL_TAKE_STOPPED to every thread once the submission ring
 * is empty; `polyloop_guest_join` then blocks until the guest has stopped using the runtime.
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

// Version of this ABI. A guest refuses to start under a host whose `abi` differs.
#define PL_ABI_VERSION 1

// Kinds of ring entries. Only `PL_KIND_CALL` and those the host answers with are used by unary calls.
#define PL_KIND_CALL 1

// One item of a stream (reserved).
#define PL_KIND_ITEM 2

// The end of a stream (reserved).
#define PL_KIND_END 3

// The host gave the task up (reserved).
#define PL_KIND_CANCEL 4

// Credit for a stream, in items and bytes (reserved).
#define PL_KIND_CREDIT 5

// The payload is raw bytes; without it the payload is encoded by the runtime's codec.
#define PL_FLAG_BYTES 1

// The payload is an encoded array: the arguments of the function, by position.
#define PL_FLAG_SPREAD 2

// There is no payload: the function takes no argument, or returned nothing.
#define PL_FLAG_EMPTY 4

// The method number of `send` to a guest that declared no methods.
#define PL_METHOD_RAW 65535

// Status of a response: the payload is the result.
#define PL_STATUS_OK 0

// Status of a response: the payload is an error object in JSON, see `respond`.
#define PL_STATUS_ERROR 1

// `take`: a task was written to `out`.
#define PL_TAKE_TASK 1

// `take`: no task is waiting; answered only where `wait` was 0.
#define PL_TAKE_EMPTY 0

// `take`: the runtime is unloaded; the thread must not touch it again.
#define PL_TAKE_STOPPED -1

// A borrowed run of bytes. `data` may be null where `len` is 0.
typedef struct {
    // First byte, or null.
    const uint8_t *data;
    // Length in bytes.
    size_t len;
} pl_bytes_t;

// A task taken from the submission ring. 48 bytes.
typedef struct {
    // Names the task in `respond`, `hold` and `release`; never 0; not reused before 2^32 uses of its slot.
    uint64_t id;
    // `PL_KIND_CALL`.
    uint8_t kind;
    // `PL_FLAG_*`.
    uint8_t flags;
    // Index into the manifest's `methods`, or `PL_METHOD_RAW`.
    uint16_t method;
    // Stream that the task belongs to (reserved, 0).
    uint32_t stream;
    // Request payload: valid until `respond`, or until `release` after `hold`. Never null.
    const uint8_t *data;
    // Length of the payload in bytes.
    uint64_t len;
    // When the caller stops waiting: nanoseconds of `CLOCK_MONOTONIC`, 0 for never.
    uint64_t deadline_ns;
    // Reserved, 0.
    uint64_t reserved;
} pl_task_t;

// The runtime as the guest sees it.
typedef void *pl_runtime_h;

// What a host offers to a guest. Every function may be called from any thread, and none of them
// waits for the host's event loop but `log`, which waits while a megabyte of lines is unread.
typedef struct {
    // Size of this struct in bytes: later versions only append.
    uint32_t size;
    // `PL_ABI_VERSION`.
    uint32_t abi;
    // Takes one task. With `wait` not 0 it blocks until there is one: `PL_TAKE_*`.
    int32_t (*take)(pl_runtime_h runtime, pl_task_t *out, uint32_t wait);
    // Answers a task; `data` is copied before it returns and may be the request itself. With
    // `PL_STATUS_ERROR` `data` is a JSON object: `{"code"?, "type", "message", "stack"?, "rc"?, "cause"?}`,
    // where `cause` is such an object again. Returns 0, or -1 where the task was answered before
    // (which is counted and has no other effect).
    int32_t (*respond)(pl_runtime_h runtime,
                       uint64_t task,
                       uint32_t status,
                       uint32_t flags,
                       const uint8_t *data,
                       size_t len);
    // Keeps the request payload valid after `respond`, until `release`. Call it before `respond`.
    int32_t (*hold)(pl_runtime_h runtime, uint64_t task);
    // Gives up a payload that was held. Call it once, after `respond`.
    int32_t (*release)(pl_runtime_h runtime, uint64_t task);
    // Declares the guest initialised. `manifest` is JSON:
    // `{"methods": [{"name": "add", "params"?: ["a", "b"], "async"?: false}, ...], "info"?: {...}}`.
    // Call it once, in `start`.
    int32_t (*ready)(pl_runtime_h runtime, pl_bytes_t manifest);
    // Says why `start` is about to fail, or (after `ready`) that the guest has died and will take no
    // more tasks: all calls in flight are rejected. `error` is an error object as in `respond`.
    int32_t (*fail)(pl_runtime_h runtime, pl_bytes_t error);
    // Hands text to the host's stdout (`stream` 1) or stderr (2). Lines end in `\n`; what is given
    // in one call stays together.
    int32_t (*log)(pl_runtime_h runtime, uint32_t stream, pl_bytes_t text);
} pl_host_t;

// What `start` gets.
typedef struct {
    // Size of this struct in bytes: later versions only append.
    uint32_t size;
    // How many threads the caller asked for; 0 leaves it to the guest.
    uint32_t threads;
    // The `config` option as JSON; empty where it was not given. Valid during `start`.
    pl_bytes_t config;
    // Codec of payloads without `PL_FLAG_BYTES`: `json`, `msgpack` or a name of the user's. Valid during `start`.
    pl_bytes_t codec;
    // Options of the loader as JSON (for Python: module, interpreter paths); empty for other guests.
    pl_bytes_t loader;
} pl_start_info_t;

// `polyloop_guest_start`: returns 0, or another number (the `rc` of `init-failed`) after `fail`.
// `guest` receives a pointer that is handed to `pl_join_f`.
typedef int32_t (*pl_start_f)(const pl_host_t *host, pl_runtime_h runtime, const pl_start_info_t *info, void **guest);

// `polyloop_guest_join`: blocks until no thread of the guest will use the runtime again, and frees `guest`.
// Called once, after a successful start.
typedef void (*pl_join_f)(void *guest);

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define PL_EXPORT __declspec(dllexport)
#else
#define PL_EXPORT __attribute__((visibility("default")))
#endif

// What a guest defines; pl_start_f and pl_join_f above say what each does.
PL_EXPORT int32_t polyloop_guest_start(const pl_host_t *host, pl_runtime_h runtime, const pl_start_info_t *info,
                                       void **guest);
PL_EXPORT void polyloop_guest_join(void *guest);

#ifdef __cplusplus
}  // extern "C"
#endif
