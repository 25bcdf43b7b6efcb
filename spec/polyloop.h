/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C ABI between a Polyloop host and its guests. Generated from crates/abi/src/lib.rs: change
 * that file, then run
 *   POLYLOOP_WRITE_HEADER=1 cargo test -p polyloop-abi --test header
 *
 * A guest is a shared library that exports the two functions at the end of this file.
 * `polyloop_guest_start` runs once for a runtime, on a thread of its own that may block: it
 * initialises the guest, calls `ready` with the manifest and spawns the threads that call `take`.
 * From then on every task that `take` hands out is answered by exactly one `respond`. When the host
 * unloads the runtime, `take` answers PL_TAKE_STOPPED to every thread once the submission ring is
 * empty; `polyloop_guest_join` then blocks until the guest has stopped using the runtime.
 *
 * The child of a fork that a guest makes is no guest: nothing that it asks of the host has an effect,
 * and none of its answers is taken (PL_RESPOND_FORK). It may do what it likes but return from the
 * function that has forked: where it would take the next task, `take` ends it by _exit(0), and so do
 * `ready` and `fail` (by _exit(1)).
 *
 * A unary call is a task with one request and one answer. A stream is the same task with more in
 * between: the guest takes items of the request stream with `receive` and gives each back, and
 * sends items of the response stream with `send`, before it answers. What the caller gives up is
 * cancelled: `cancelled` says so, `receive` and `send` too, and a watcher hears of that. The task
 * is answered all the same.
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

// Version of this ABI. A guest refuses to start under a host whose `abi` differs.
#define PL_ABI_VERSION 2

// Kind of ring entries: a call begins. The only one that `take` hands out; the host's side of the
// ABI acts on the others.
#define PL_KIND_CALL 1

// One item of a stream.
#define PL_KIND_ITEM 2

// The end of a request stream.
#define PL_KIND_END 3

// The caller gave the task up.
#define PL_KIND_CANCEL 4

// Credit for a response stream, in items and bytes.
#define PL_KIND_CREDIT 5

// The payload is raw bytes; without it the payload is encoded by the runtime's codec.
#define PL_FLAG_BYTES 1

// The payload is an encoded array: the arguments of the function, by position.
#define PL_FLAG_SPREAD 2

// There is no payload: the function takes no argument, or returned nothing.
#define PL_FLAG_EMPTY 4

// Of a task: a stream of items follows, which `receive` hands out. The stream is the
// function's last argument.
#define PL_FLAG_INPUT 32

// Of a task: the caller takes a stream of items, by `send`, before the answer, which is
// then empty or an error.
#define PL_FLAG_OUTPUT 64

// The method number of `send` to a guest that declared no methods.
#define PL_METHOD_RAW 65535

// Status of a response: the payload is the result.
#define PL_STATUS_OK 0

// Status of a response: the payload is an error object in JSON, see `respond`.
#define PL_STATUS_ERROR 1

// `take`: a task was written to `out`.
#define PL_TAKE_TASK 1

// `take`: no task is waiting; answered only if `wait` was 0.
#define PL_TAKE_EMPTY 0

// `take`: the runtime is unloaded; the thread must not touch it again.
#define PL_TAKE_STOPPED -1

// `respond`: this process is the child of a fork, and its answers are not taken; `_exit` is what is
// left to do once a call's function has returned.
#define PL_RESPOND_FORK -2

// `receive` and `send`: done.
#define PL_STREAM_DONE 1

// `receive`: no item has come yet; `send`: there is no credit. Answered only if `wait` was 0.
#define PL_STREAM_WAIT 0

// `receive`: the request stream has ended, or there is none.
#define PL_STREAM_END -1

// The caller has given the task up, or has ended: it neither takes items nor sends any.
#define PL_STREAM_CANCELLED -2

// There is no such task: it was answered before, perhaps while this call waited. `send`: or its
// caller takes no stream, or the item is too large, or there is no memory for it.
#define PL_STREAM_REFUSED -3

// What a watcher is told: an item of the request stream has come, or its end.
#define PL_EVENT_INPUT 1

// What a watcher is told: there is credit for the response stream again.
#define PL_EVENT_CREDIT 2

// What a watcher is told: the caller has given the task up.
#define PL_EVENT_CANCELLED 4

typedef struct Option_Watcher Option_Watcher;

// A borrowed run of bytes. `data` may be null if `len` is 0.
typedef struct {
    // First byte, or null.
    const uint8_t *data;
    // Length in bytes.
    size_t len;
} pl_bytes_t;

// A task taken from the submission ring. 56 bytes.
typedef struct {
    // Names the task in `respond`, `hold` and `release`; never 0; not reused before 2^32 uses of
    // its slot.
    uint64_t id;
    // `PL_KIND_CALL`.
    uint8_t kind;
    // `PL_FLAG_*`.
    uint8_t flags;
    // Index into the manifest's `methods`, or `PL_METHOD_RAW`.
    uint16_t method;
    // Reserved, 0.
    uint32_t reserved;
    // Request payload: valid until `respond`, or until `release` after `hold`. Never null.
    const uint8_t *data;
    // Length of the payload in bytes.
    uint64_t len;
    // When the caller stops waiting: nanoseconds of `CLOCK_MONOTONIC`, 0 for never.
    uint64_t deadline_ns;
    // Context of the call (a trace, say): a JSON object of strings, valid as long as `data`. Null
    // if `context_len` is 0.
    const uint8_t *context;
    // Length of the context in bytes.
    uint64_t context_len;
} pl_task_t;

// An item of a request stream. 32 bytes.
typedef struct {
    // Names the item in `respond`, which gives it back (status 0, no data), and in `hold` and
    // `release`, as if it were a task. Each item that was received is given back once, before its
    // task is answered or after; those that were not received go back by themselves.
    uint64_t id;
    // Payload: valid until the item is given back, or until `release` after `hold`. Never null.
    const uint8_t *data;
    // Length of the payload in bytes.
    uint64_t len;
    // `FLAG_BYTES`, `FLAG_EMPTY`.
    uint32_t flags;
    // Reserved, 0.
    uint32_t reserved;
} pl_item_t;

// Told of a task's events, on any thread, that of the host's event loop too: it must not block,
// must not call the host, and must not take a lock that is held while the host is called. A
// watcher wakes whoever waits and returns.
typedef void (*pl_watcher_f)(void *context, uint32_t events);

// The runtime as the guest sees it.
typedef void *pl_runtime_h;

// What a host offers to a guest. Every function may be called from any thread, and none of them
// waits for the host's event loop but `log`, which waits while a megabyte of lines is unread.
typedef struct {
    // Size of this struct in bytes: later versions only append.
    uint32_t size;
    // `PL_ABI_VERSION`.
    uint32_t abi;
    // Takes one task; with `wait` not 0 blocks until there is one: `PL_TAKE_*`.
    int32_t (*take)(pl_runtime_h runtime, pl_task_t *out, uint32_t wait);
    // Answers a task; `data` is copied before this returns and may be the request itself. With
    // `PL_STATUS_ERROR` `data` is a JSON object: `{"code"?, "type", "message", "stack"?, "rc"?,
    // "cause"?}`, with such an object again as `cause`. Returns 0, or -1 if the task was answered
    // before (which is counted and has no other effect), or `PL_RESPOND_FORK`.
    int32_t (*respond)(pl_runtime_h runtime,
                       uint64_t task,
                       uint32_t status,
                       uint32_t flags,
                       const uint8_t *data,
                       size_t len);
    // Keeps the request payload valid after `respond`, until `release`. To be called before
    // `respond`.
    int32_t (*hold)(pl_runtime_h runtime, uint64_t task);
    // Gives up a payload that was held. To be called once, after `respond`.
    int32_t (*release)(pl_runtime_h runtime, uint64_t task);
    // Declares the guest initialised. `manifest` is JSON: `{"methods": [{"name": "add", "params"?:
    // ["a", "b"], "async"?: false, "stream"?: false, "input"?: false}, ...], "info"?: {...},
    // "warnings"?: ["text", ...]}`. `stream`: the function answers with a stream; `input`: its last
    // argument is one; `warnings`: what whoever runs the host should know. At most 16 MiB. To be
    // called once, in `start`.
    int32_t (*ready)(pl_runtime_h runtime, pl_bytes_t manifest);
    // Says why `start` is about to fail, or (after `ready`) that the guest has died and will take
    // no more tasks: all calls in flight are rejected. `error` is an error object as in `respond`;
    // of one of more than 16 MiB only the beginning is told.
    int32_t (*fail)(pl_runtime_h runtime, pl_bytes_t error);
    // Hands text to the host's stdout (`stream` 1) or stderr (2). Lines end in `\n`; what is given
    // in one call stays together.
    int32_t (*log)(pl_runtime_h runtime, uint32_t stream, pl_bytes_t text);
    // Takes the next item of a task's request stream: `PL_STREAM_*`. With `wait` not 0 this blocks
    // until there is one, or the stream ends, or the task is cancelled.
    int32_t (*receive)(pl_runtime_h runtime, uint64_t task, pl_item_t *out, uint32_t wait);
    // Sends an item of a task's response stream; `data` is copied: `PL_STREAM_*`. With `wait` not 0
    // this blocks until there is credit, or the task is cancelled.
    int32_t (*send)(pl_runtime_h runtime, uint64_t task, uint32_t flags, const uint8_t *data, size_t len, uint32_t wait);
    // Has `watcher` told of the task's events until the task is answered; when `respond` returns
    // no watcher runs any more. Tells the watcher at once, on this thread, if the task is
    // cancelled already, and nothing else of what has been: try `receive` or `send` once more
    // after this. One watcher a task: null takes it away. Returns 0, or -1 if the task was
    // answered before.
    int32_t (*watch)(pl_runtime_h runtime, uint64_t task, Option_Watcher watcher, void *context);
    // 1 if the caller has given the task up, 0 if the caller waits, -1 if the task was answered
    // before. Never blocks.
    int32_t (*cancelled)(pl_runtime_h runtime, uint64_t task);
    // Sets the context that goes back with the answer: a JSON object of strings, copied. To be
    // called before `respond`. Returns 0, or -1 if the task was answered before or the context is
    // longer than 4,096 bytes.
    int32_t (*annotate)(pl_runtime_h runtime, uint64_t task, pl_bytes_t context);
} pl_host_t;

// What `start` gets.
typedef struct {
    // Size of this struct in bytes: later versions only append.
    uint32_t size;
    // How many threads the caller asked for; 0 leaves the number to the guest.
    uint32_t threads;
    // The `config` option as JSON; empty if it was not given. Valid during `start`.
    pl_bytes_t config;
    // Codec of payloads without `PL_FLAG_BYTES`: `json`, `msgpack` or a name of the user's. Valid
    // during `start`.
    pl_bytes_t codec;
    // Options of the loader as JSON (for Python: module, interpreter paths); empty for other
    // guests.
    pl_bytes_t loader;
} pl_start_info_t;

// `polyloop_guest_start`: returns 0, or another number (the `rc` of `init-failed`) after
// `fail`. `guest` receives a pointer that is handed to `pl_join_f`.
typedef int32_t (*pl_start_f)(const pl_host_t *host, pl_runtime_h runtime, const pl_start_info_t *info, void **guest);

// `polyloop_guest_join`: blocks until no thread of the guest will use the runtime again, and frees
// `guest`. Called once, after a successful start.
typedef void (*pl_join_f)(void *guest);

// `polyloop_guest_beat`: blocks until the guest is able to run code, and returns. If the guest has
// a process of its own a thread of it calls this at intervals; one that does not return means that
// the guest hangs. Never called once `pl_join_f` is.
typedef void (*pl_beat_f)(void *guest);

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
// If it wants to: pl_beat_f.
PL_EXPORT void polyloop_guest_beat(void *guest);

#ifdef __cplusplus
}  // extern "C"
#endif
