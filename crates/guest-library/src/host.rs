// SPDX-License-Identifier: Apache-2.0
//! The table of functions that a guest gets. No logic: each entry checks its pointers and calls the
//! runtime that a task is of.

use std::{ffi::c_void, slice};

use polyloop_abi::{
    ABI_VERSION, Bytes, Host, Item, RuntimeHandle, STREAM_CANCELLED, STREAM_DONE, STREAM_END, STREAM_REFUSED,
    STREAM_WAIT, TAKE_EMPTY, TAKE_STOPPED, TAKE_TASK, Task, Watcher,
};
use polyloop_connection::{Desk, Nothing, Runtime};
use polyloop_ring::Taken;

/// The functions of this process, for every desk of a kind.
pub const fn host<D: Desk>() -> Host {
    Host {
        size: size_of::<Host>() as u32,
        abi: ABI_VERSION,
        take: take::<D>,
        respond: respond::<D>,
        hold: hold::<D>,
        release: release::<D>,
        ready: ready::<D>,
        fail: fail::<D>,
        log: log::<D>,
        receive: receive::<D>,
        send: send::<D>,
        watch: watch::<D>,
        cancelled: cancelled::<D>,
        annotate: annotate::<D>,
    }
}

/// # Safety
/// `handle` came from [`crate::open`]'s guest, which has not been joined yet, and is of this kind of desk.
unsafe fn desk<'a, D: Desk>(handle: RuntimeHandle) -> &'a D {
    // SAFETY: the guest keeps the handle alive until it is joined; the caller promises it was not.
    unsafe { &*handle.cast::<D>() }
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

unsafe extern "C" fn take<D: Desk>(handle: RuntimeHandle, out: *mut Task, wait: u32) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    let desk = unsafe { desk::<D>(handle) };
    let taken = D::waiters().with_borrow_mut(|(owner, waiter)| {
        if *owner != handle.addr() {
            *owner = handle.addr();
            *waiter = D::Waiter::default();
        }
        desk.take(waiter, wait != 0)
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

unsafe extern "C" fn respond<D: Desk>(
    handle: RuntimeHandle,
    task: u64,
    status: u32,
    flags: u32,
    data: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: the guest calls it with its own handle and a readable payload.
    let (desk, data) = unsafe { (desk::<D>(handle), bytes(data, len)) };
    let answered = desk.with(task, |runtime, task| runtime.respond(task, status, flags as u8, data));
    if answered == Some(true) { 0 } else { -1 }
}

unsafe extern "C" fn hold<D: Desk>(handle: RuntimeHandle, task: u64) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    let held = unsafe { desk::<D>(handle) }.with(task, Runtime::hold);
    if held == Some(true) { 0 } else { -1 }
}

unsafe extern "C" fn release<D: Desk>(handle: RuntimeHandle, task: u64) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    unsafe { desk::<D>(handle) }.with(task, Runtime::release);
    0
}

unsafe extern "C" fn ready<D: Desk>(handle: RuntimeHandle, manifest: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    let first = unsafe { desk::<D>(handle).ready(bytes(manifest.data, manifest.len)) };
    if first { 0 } else { -1 }
}

unsafe extern "C" fn fail<D: Desk>(handle: RuntimeHandle, error: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    unsafe { desk::<D>(handle).fail(bytes(error.data, error.len)) };
    0
}

unsafe extern "C" fn log<D: Desk>(handle: RuntimeHandle, stream: u32, text: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    unsafe { desk::<D>(handle).log(stream, bytes(text.data, text.len)) };
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

unsafe extern "C" fn receive<D: Desk>(handle: RuntimeHandle, task: u64, out: *mut Item, wait: u32) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    let desk = unsafe { desk::<D>(handle) };
    let received = desk.with(task, |runtime, task| runtime.receive(task, wait != 0));
    match received.unwrap_or(Err(Nothing::Refused)) {
        Ok(item) => {
            let (id, len, flags) = (desk.beside(task, item.id), item.length.into(), item.flags.into());
            // SAFETY: the guest gives room for one item.
            unsafe { out.write(Item { id, data: item.data, len, flags, reserved: 0 }) };
            STREAM_DONE
        }
        Err(nothing) => why(nothing),
    }
}

unsafe extern "C" fn send<D: Desk>(
    handle: RuntimeHandle,
    task: u64,
    flags: u32,
    data: *const u8,
    len: usize,
    wait: u32,
) -> i32 {
    // SAFETY: the guest calls it with its own handle and a readable payload.
    let (desk, data) = unsafe { (desk::<D>(handle), bytes(data, len)) };
    let sent = desk.with(task, |runtime, task| runtime.send(task, flags as u8, data, wait != 0));
    sent.unwrap_or(Err(Nothing::Refused)).map_or_else(why, |()| STREAM_DONE)
}

unsafe extern "C" fn watch<D: Desk>(
    handle: RuntimeHandle,
    task: u64,
    watcher: Option<Watcher>,
    context: *mut c_void,
) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    let desk = unsafe { desk::<D>(handle) };
    let watched = desk.with(task, |runtime, task| runtime.watch(task, watcher, context));
    if watched == Some(true) { 0 } else { -1 }
}

unsafe extern "C" fn cancelled<D: Desk>(handle: RuntimeHandle, task: u64) -> i32 {
    // SAFETY: the guest calls it with its own handle.
    let cancelled = unsafe { desk::<D>(handle) }.with(task, Runtime::cancelled);
    cancelled.flatten().map_or(-1, i32::from)
}

unsafe extern "C" fn annotate<D: Desk>(handle: RuntimeHandle, task: u64, context: Bytes) -> i32 {
    // SAFETY: the guest calls it with its own handle and readable bytes.
    let (desk, context) = unsafe { (desk::<D>(handle), bytes(context.data, context.len)) };
    let kept = desk.with(task, |runtime, task| runtime.annotate(task, context));
    if kept == Some(true) { 0 } else { -1 }
}
