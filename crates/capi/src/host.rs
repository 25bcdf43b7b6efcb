// SPDX-License-Identifier: Apache-2.0
//! The table of functions that a guest gets. No logic: each entry checks its pointers and calls the
//! runtime.

use std::{cell::RefCell, ffi::c_void, slice};

use polyloop_abi::{
    ABI_VERSION, Bytes, Host, Item, RuntimeHandle, STREAM_CANCELLED, STREAM_DONE, STREAM_END, STREAM_REFUSED,
    STREAM_WAIT, TAKE_EMPTY, TAKE_STOPPED, TAKE_TASK, Task, Watcher,
};
use polyloop_ring::{Taken, Taker};
use polyloop_runtime::{Nothing, Runtime};

/// The functions of this process, for every runtime.
pub static HOST: Host = Host {
    size: size_of::<Host>() as u32,
    abi: ABI_VERSION,
    take,
    respond,
    hold,
    release,
    ready,
    fail,
    log,
    receive,
    send,
    watch,
    cancelled,
    annotate,
};

thread_local! {
    /// How the calling guest thread waits, and for which runtime: threads seldom serve two.
    static TAKER: RefCell<(usize, Taker)> = RefCell::default();
}

/// # Safety
/// `handle` came from [`crate::open`]'s guest, which has not been joined yet.
unsafe fn runtime<'a>(handle: RuntimeHandle) -> &'a Runtime {
    // SAFETY: the guest keeps the handle alive until it is joined; the caller promises it was not.
    unsafe { &*handle.cast::<Runtime>() }
}

/// # Safety
/// `data` points to `len` readable bytes, or `len` is 0.
unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if data.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { slice::from_raw_parts(data, len) }
}

unsafe extern "C" fn take(handle: RuntimeHandle, out: *mut Task, wait: u32) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    let runtime = unsafe { runtime(handle) };
    let taken = TAKER.with_borrow_mut(|(owner, taker)| {
        if *owner != handle.addr() {
            *owner = handle.addr();
            *taker = Taker::default();
        }
        runtime.take(taker, wait != 0)
    });
    let task = match taken {
        Ok(task) => task,
        Err(Taken::Stopped) => return TAKE_STOPPED,
        Err(_) => return TAKE_EMPTY,
    };
    let s = task.submission;
    let task = Task {
        id: task.id,
        kind: s.kind,
        flags: s.flags,
        method: s.method,
        reserved: 0,
        data: task.data,
        len: s.length.into(),
        deadline_ns: s.deadline,
        context: task.context,
        context_len: task.context_length.into(),
    };
    // SAFETY: the guest gives room for one task.
    unsafe { out.write(task) };
    TAKE_TASK
}

unsafe extern "C" fn respond(
    handle: RuntimeHandle,
    task: u64,
    status: u32,
    flags: u32,
    data: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: the guest calls it with its own handle and a readable payload.
    let answered = unsafe { runtime(handle).respond(task, status, flags as u8, bytes(data, len)) };
    if answered { 0 } else { -1 }
}

unsafe extern "C" fn hold(handle: RuntimeHandle, task: u64) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    if unsafe { runtime(handle) }.hold(task) { 0 } else { -1 }
}

unsafe extern "C" fn release(handle: RuntimeHandle, task: u64) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    unsafe { runtime(handle) }.release(task);
    0
}

unsafe extern "C" fn ready(handle: RuntimeHandle, manifest: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    let first = unsafe { runtime(handle).ready(bytes(manifest.data, manifest.len)) };
    if first { 0 } else { -1 }
}

unsafe extern "C" fn fail(handle: RuntimeHandle, error: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    unsafe { runtime(handle).fail(bytes(error.data, error.len)) };
    0
}

unsafe extern "C" fn log(handle: RuntimeHandle, stream: u32, text: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    unsafe { runtime(handle).log(stream, bytes(text.data, text.len)) };
    0
}

fn why(nothing: Nothing) -> i32 {
    match nothing {
        Nothing::Wait => STREAM_WAIT,
        Nothing::End => STREAM_END,
        Nothing::Cancelled => STREAM_CANCELLED,
        Nothing::Refused => STREAM_REFUSED,
    }
}

unsafe extern "C" fn receive(handle: RuntimeHandle, task: u64, out: *mut Item, wait: u32) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    match unsafe { runtime(handle) }.receive(task, wait != 0) {
        Ok(item) => {
            let (len, flags) = (item.length.into(), item.flags.into());
            // SAFETY: the guest gives room for one item.
            unsafe { out.write(Item { id: item.id, data: item.data, len, flags, reserved: 0 }) };
            STREAM_DONE
        }
        Err(nothing) => why(nothing),
    }
}

unsafe extern "C" fn send(
    handle: RuntimeHandle,
    task: u64,
    flags: u32,
    data: *const u8,
    len: usize,
    wait: u32,
) -> i32 {
    // SAFETY: the guest calls it with its own handle and a readable payload.
    let sent = unsafe { runtime(handle).send(task, flags as u8, bytes(data, len), wait != 0) };
    sent.map_or_else(why, |()| STREAM_DONE)
}

unsafe extern "C" fn watch(
    handle: RuntimeHandle,
    task: u64,
    watcher: Option<Watcher>,
    context: *mut c_void,
) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    if unsafe { runtime(handle) }.watch(task, watcher, context) { 0 } else { -1 }
}

unsafe extern "C" fn cancelled(handle: RuntimeHandle, task: u64) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    unsafe { runtime(handle) }.cancelled(task).map_or(-1, i32::from)
}

unsafe extern "C" fn annotate(handle: RuntimeHandle, task: u64, context: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    let kept = unsafe { runtime(handle).annotate(task, bytes(context.data, context.len)) };
    if kept { 0 } else { -1 }
}
