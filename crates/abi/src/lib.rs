// SPDX-License-Identifier: Apache-2.0
//! The C ABI between a Polyloop host and its guests.
//!
//! A guest is a shared library that exports two functions, [`START_SYMBOL`] and [`JOIN_SYMBOL`],
//! and perhaps a third, [`BEAT_SYMBOL`].
//! `start` runs once for a runtime, on a thread of its own that may block: it initialises the
//! guest, calls [`Host::ready`] with the manifest and spawns the threads that call [`Host::take`].
//! From then on every task that `take` hands out is answered by exactly one [`Host::respond`]. When
//! the host unloads the runtime, `take` answers [`TAKE_STOPPED`] to every thread once the
//! submission ring is empty; `join` then blocks until the guest has stopped using the runtime.
//!
//! The child of a fork that a guest makes is no guest: nothing that it asks of the host has an effect,
//! and none of its answers is taken ([`RESPOND_FORK`]). It may do what it likes but return from the
//! function that has forked: where it would take the next task, `take` ends it by `_exit(0)`, and so do
//! `ready` and `fail` (by `_exit(1)`).
//!
//! A unary call is a task with one request and one answer. A stream is the same task with more in
//! between: the guest takes items of the request stream with `receive` and gives each back, and
//! sends items of the response stream with `send`, before it answers. What the caller gives up is
//! cancelled: `cancelled` says so, `receive` and `send` too, and a watcher hears of that. The task
//! is answered all the same.
//!
//! `spec/polyloop.h` says the same in C and is checked against this file by a test.

use std::ffi::c_void;

/// Version of this ABI. A guest refuses to start under a host whose `abi` differs.
pub const ABI_VERSION: u32 = 2;

/// Name of the exported function of type [`Start`].
pub const START_SYMBOL: &str = "polyloop_guest_start";
/// Name of the exported function of type [`Join`].
pub const JOIN_SYMBOL: &str = "polyloop_guest_join";
/// Name of the function of type [`Beat`], which a guest may export, too.
pub const BEAT_SYMBOL: &str = "polyloop_guest_beat";

/// A borrowed run of bytes. `data` may be null if `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// First byte, or null.
    pub data: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// Kind of ring entries: a call begins. The only one that `take` hands out; the host's side of the
/// ABI acts on the others.
pub const KIND_CALL: u8 = 1;
/// One item of a stream.
pub const KIND_ITEM: u8 = 2;
/// The end of a request stream.
pub const KIND_END: u8 = 3;
/// The caller gave the task up.
pub const KIND_CANCEL: u8 = 4;
/// Credit for a response stream, in items and bytes.
pub const KIND_CREDIT: u8 = 5;

/// The payload is raw bytes; without it the payload is encoded by the runtime's codec.
pub const FLAG_BYTES: u8 = 1;
/// The payload is an encoded array: the arguments of the function, by position.
pub const FLAG_SPREAD: u8 = 2;
/// There is no payload: the function takes no argument, or returned nothing.
pub const FLAG_EMPTY: u8 = 4;
/// Of a task: a stream of items follows, which [`Host::receive`] hands out. The stream is the
/// function's last argument.
pub const FLAG_INPUT: u8 = 32;
/// Of a task: the caller takes a stream of items, by [`Host::send`], before the answer, which is
/// then empty or an error.
pub const FLAG_OUTPUT: u8 = 64;

/// The method number of `send` to a guest that declared no methods.
pub const METHOD_RAW: u16 = 0xffff;

/// Status of a response: the payload is the result.
pub const STATUS_OK: u32 = 0;
/// Status of a response: the payload is an error object in JSON, see [`Host::respond`].
pub const STATUS_ERROR: u32 = 1;

/// `take`: a task was written to `out`.
pub const TAKE_TASK: i32 = 1;
/// `take`: no task is waiting; answered only if `wait` was 0.
pub const TAKE_EMPTY: i32 = 0;
/// `take`: the runtime is unloaded; the thread must not touch it again.
pub const TAKE_STOPPED: i32 = -1;

/// `respond`: this process is the child of a fork, and its answers are not taken; `_exit` is what is
/// left to do once a call's function has returned.
pub const RESPOND_FORK: i32 = -2;

/// `receive` and `send`: done.
pub const STREAM_DONE: i32 = 1;
/// `receive`: no item has come yet; `send`: there is no credit. Answered only if `wait` was 0.
pub const STREAM_WAIT: i32 = 0;
/// `receive`: the request stream has ended, or there is none.
pub const STREAM_END: i32 = -1;
/// The caller has given the task up, or has ended: it neither takes items nor sends any.
pub const STREAM_CANCELLED: i32 = -2;
/// There is no such task: it was answered before, perhaps while this call waited. `send`: or its
/// caller takes no stream, or the item is too large, or there is no memory for it.
pub const STREAM_REFUSED: i32 = -3;

/// What a watcher is told: an item of the request stream has come, or its end.
pub const EVENT_INPUT: u32 = 1;
/// What a watcher is told: there is credit for the response stream again.
pub const EVENT_CREDIT: u32 = 2;
/// What a watcher is told: the caller has given the task up.
pub const EVENT_CANCELLED: u32 = 4;

/// Told of a task's events, on any thread, that of the host's event loop too: it must not block,
/// must not call the host, and must not take a lock that is held while the host is called. A
/// watcher wakes whoever waits and returns.
pub type Watcher = unsafe extern "C" fn(context: *mut c_void, events: u32);

/// An item of a request stream. 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Names the item in `respond`, which gives it back (status 0, no data), and in `hold` and
    /// `release`, as if it were a task. Each item that was received is given back once, before its
    /// task is answered or after; those that were not received go back by themselves.
    pub id: u64,
    /// Payload: valid until the item is given back, or until `release` after `hold`. Never null.
    pub data: *const u8,
    /// Length of the payload in bytes.
    pub len: u64,
    /// `FLAG_BYTES`, `FLAG_EMPTY`.
    pub flags: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// A task taken from the submission ring. 56 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Names the task in `respond`, `hold` and `release`; never 0; not reused before 2^32 uses of
    /// its slot.
    pub id: u64,
    /// [`KIND_CALL`].
    pub kind: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Index into the manifest's `methods`, or [`METHOD_RAW`].
    pub method: u16,
    /// Reserved, 0.
    pub reserved: u32,
    /// Request payload: valid until `respond`, or until `release` after `hold`. Never null.
    pub data: *const u8,
    /// Length of the payload in bytes.
    pub len: u64,
    /// When the caller stops waiting: nanoseconds of `CLOCK_MONOTONIC`, 0 for never.
    pub deadline_ns: u64,
    /// Context of the call (a trace, say): a JSON object of strings, valid as long as `data`. Null
    /// if `context_len` is 0.
    pub context: *const u8,
    /// Length of the context in bytes.
    pub context_len: u64,
}

/// The runtime as the guest sees it.
pub type RuntimeHandle = *mut c_void;

/// What a host offers to a guest. Every function may be called from any thread, and none of them
/// waits for the host's event loop but `log`, which waits while a megabyte of lines is unread.
#[repr(C)]
pub struct Host {
    /// Size of this struct in bytes: later versions only append.
    pub size: u32,
    /// [`ABI_VERSION`].
    pub abi: u32,
    /// Takes one task; with `wait` not 0 blocks until there is one: `TAKE_*`.
    pub take: unsafe extern "C" fn(runtime: RuntimeHandle, out: *mut Task, wait: u32) -> i32,
    /// Answers a task; `data` is copied before this returns and may be the request itself. With
    /// [`STATUS_ERROR`] `data` is a JSON object: `{"code"?, "type", "message", "stack"?, "rc"?,
    /// "cause"?}`, with such an object again as `cause`. Returns 0, or -1 if the task was answered
    /// before (which is counted and has no other effect), or [`RESPOND_FORK`].
    pub respond: unsafe extern "C" fn(
        runtime: RuntimeHandle,
        task: u64,
        status: u32,
        flags: u32,
        data: *const u8,
        len: usize,
    ) -> i32,
    /// Keeps the request payload valid after `respond`, until `release`. To be called before
    /// `respond`.
    pub hold: unsafe extern "C" fn(runtime: RuntimeHandle, task: u64) -> i32,
    /// Gives up a payload that was held. To be called once, after `respond`.
    pub release: unsafe extern "C" fn(runtime: RuntimeHandle, task: u64) -> i32,
    /// Declares the guest initialised. `manifest` is JSON: `{"methods": [{"name": "add", "params"?:
    /// ["a", "b"], "async"?: false, "stream"?: false, "input"?: false}, ...], "info"?: {...},
    /// "warnings"?: ["text", ...]}`. `stream`: the function answers with a stream; `input`: its last
    /// argument is one; `warnings`: what whoever runs the host should know. At most 16 MiB. To be
    /// called once, in `start`.
    pub ready: unsafe extern "C" fn(runtime: RuntimeHandle, manifest: Bytes) -> i32,
    /// Says why `start` is about to fail, or (after `ready`) that the guest has died and will take
    /// no more tasks: all calls in flight are rejected. `error` is an error object as in `respond`;
    /// of one of more than 16 MiB only the beginning is told.
    pub fail: unsafe extern "C" fn(runtime: RuntimeHandle, error: Bytes) -> i32,
    /// Hands text to the host's stdout (`stream` 1) or stderr (2). Lines end in `\n`; what is given
    /// in one call stays together.
    pub log: unsafe extern "C" fn(runtime: RuntimeHandle, stream: u32, text: Bytes) -> i32,
    /// Takes the next item of a task's request stream: `STREAM_*`. With `wait` not 0 this blocks
    /// until there is one, or the stream ends, or the task is cancelled.
    pub receive: unsafe extern "C" fn(runtime: RuntimeHandle, task: u64, out: *mut Item, wait: u32) -> i32,
    /// Sends an item of a task's response stream; `data` is copied: `STREAM_*`. With `wait` not 0
    /// this blocks until there is credit, or the task is cancelled.
    pub send: unsafe extern "C" fn(
        runtime: RuntimeHandle,
        task: u64,
        flags: u32,
        data: *const u8,
        len: usize,
        wait: u32,
    ) -> i32,
    /// Has `watcher` told of the task's events until the task is answered; when `respond` returns
    /// no watcher runs any more. Tells the watcher at once, on this thread, if the task is
    /// cancelled already, and nothing else of what has been: try `receive` or `send` once more
    /// after this. One watcher a task: null takes it away. Returns 0, or -1 if the task was
    /// answered before.
    pub watch: unsafe extern "C" fn(
        runtime: RuntimeHandle,
        task: u64,
        watcher: Option<Watcher>,
        context: *mut c_void,
    ) -> i32,
    /// 1 if the caller has given the task up, 0 if the caller waits, -1 if the task was answered
    /// before. Never blocks.
    pub cancelled: unsafe extern "C" fn(runtime: RuntimeHandle, task: u64) -> i32,
    /// Sets the context that goes back with the answer: a JSON object of strings, copied. To be
    /// called before `respond`. Returns 0, or -1 if the task was answered before or the context is
    /// longer than 4,096 bytes.
    pub annotate: unsafe extern "C" fn(runtime: RuntimeHandle, task: u64, context: Bytes) -> i32,
}

// SAFETY: a Host is a table of integers and function pointers, never written after it was made.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}

/// What `start` gets.
#[repr(C)]
pub struct StartInfo {
    /// Size of this struct in bytes: later versions only append.
    pub size: u32,
    /// How many threads the caller asked for; 0 leaves the number to the guest.
    pub threads: u32,
    /// The `config` option as JSON; empty if it was not given. Valid during `start`.
    pub config: Bytes,
    /// Codec of payloads without [`FLAG_BYTES`]: `json`, `msgpack` or a name of the user's. Valid
    /// during `start`.
    pub codec: Bytes,
    /// Options of the loader as JSON (for Python: module, interpreter paths); empty for other
    /// guests.
    pub loader: Bytes,
}

/// `polyloop_guest_start`: returns 0, or another number (the `rc` of `init-failed`) after
/// [`Host::fail`]. `guest` receives a pointer that is handed to [`Join`].
pub type Start = unsafe extern "C" fn(
    host: *const Host,
    runtime: RuntimeHandle,
    info: *const StartInfo,
    guest: *mut *mut c_void,
) -> i32;

/// `polyloop_guest_join`: blocks until no thread of the guest will use the runtime again, and frees
/// `guest`. Called once, after a successful start.
pub type Join = unsafe extern "C" fn(guest: *mut c_void);

/// `polyloop_guest_beat`: blocks until the guest is able to run code, and returns. If the guest has
/// a process of its own a thread of it calls this at intervals; one that does not return means that
/// the guest hangs. Never called once [`Join`] is.
pub type Beat = unsafe extern "C" fn(guest: *mut c_void);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_56_bytes_and_the_tables_are_as_the_header_says() {
        assert_eq!(size_of::<Task>(), 56);
        assert_eq!(size_of::<Bytes>(), 16);
        assert_eq!(size_of::<StartInfo>(), 56);
        assert_eq!(size_of::<Host>(), 8 + 12 * 8);
        assert_eq!(size_of::<Item>(), 32);
    }
}
