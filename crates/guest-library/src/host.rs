// SPDX-License-Identifier: Apache-2.0
//! The table of functions that a guest gets. No logic: each entry checks its pointers and calls the
//! runtime that a task is of.
//!
//! In the child of a fork nothing here has an effect, and no lock is taken: a thread that is no more
//! may have it. The child neither answers nor takes tasks. It ends where it would take one: the code
//! that has forked has returned there, and what would go on is a second guest, or a second host.

use std::{ffi::c_void, io, slice};

use polyloop_abi::{
    ABI_VERSION, Bytes, Host, Item, RESPOND_FORK, RuntimeHandle, STREAM_CANCELLED, STREAM_DONE, STREAM_END,
    STREAM_REFUSED, STREAM_WAIT, TAKE_EMPTY, TAKE_STOPPED, TAKE_TASK, Task, Watcher,
};
use polyloop_connection::{Connection, Nothing, TaskSource};
use polyloop_ring::{Taken, fork::is_fork};

/// The functions of this process, for every kind of task source.
pub const fn host<S: TaskSource>() -> Host {
    Host {
        size: size_of::<Host>() as u32,
        abi: ABI_VERSION,
        take: take::<S>,
        respond: respond::<S>,
        hold: hold::<S>,
        release: release::<S>,
        ready: ready::<S>,
        fail: fail::<S>,
        log: log::<S>,
        receive: receive::<S>,
        send: send::<S>,
        watch: watch::<S>,
        cancelled: cancelled::<S>,
        annotate: annotate::<S>,
    }
}

/// # Safety
/// `handle` came from [`crate::open`]'s guest, which has not been joined yet, and is of this kind
/// of source.
unsafe fn source<'a, S: TaskSource>(handle: RuntimeHandle) -> &'a S {
    // SAFETY: the guest keeps the handle alive until it is joined; the caller promises that it was
    // not.
    unsafe { &*handle.cast::<S>() }
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

/// Ends the child of a fork, and runs nothing of what its parent is to run at its end.
fn leave(status: i32) -> ! {
    // SAFETY: nothing of the process is used after this.
    unsafe { libc::_exit(status) }
}

/// Prints for the child of a fork, which has the streams of its parent's process.
fn write(stream: u32, mut text: &[u8]) -> i32 {
    let number = if stream == 2 { libc::STDERR_FILENO } else { libc::STDOUT_FILENO };
    while !text.is_empty() {
        // SAFETY: as many readable bytes.
        let written = unsafe { libc::write(number, text.as_ptr().cast(), text.len()) };
        match usize::try_from(written) {
            Ok(written) => text = &text[written..],
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            // A stream that is closed or full loses the text, as it would any other program's.
            Err(_) => break,
        }
    }
    0
}

unsafe extern "C" fn take<S: TaskSource>(handle: RuntimeHandle, out: *mut Task, wait: u32) -> i32 {
    if is_fork() {
        leave(0);
    }
    // SAFETY: the guest calls this with its own handle.
    let source = unsafe { source::<S>(handle) };
    let taken = S::waiters().with_borrow_mut(|(owner, waiter)| {
        if *owner != handle.addr() {
            *owner = handle.addr();
            *waiter = S::Waiter::default();
        }
        source.take(waiter, wait != 0)
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

unsafe extern "C" fn respond<S: TaskSource>(
    handle: RuntimeHandle,
    task: u64,
    status: u32,
    flags: u32,
    data: *const u8,
    len: usize,
) -> i32 {
    if is_fork() {
        return RESPOND_FORK;
    }
    // SAFETY: the guest calls this with its own handle and a readable payload.
    let (source, data) = unsafe { (source::<S>(handle), bytes(data, len)) };
    let answered = source.with(task, |connection, task| connection.respond(task, status, flags as u8, data));
    if answered == Some(true) { 0 } else { -1 }
}

unsafe extern "C" fn hold<S: TaskSource>(handle: RuntimeHandle, task: u64) -> i32 {
    if is_fork() {
        return -1;
    }
    // SAFETY: the guest calls this with its own handle.
    let held = unsafe { source::<S>(handle) }.with(task, Connection::hold);
    if held == Some(true) { 0 } else { -1 }
}

unsafe extern "C" fn release<S: TaskSource>(handle: RuntimeHandle, task: u64) -> i32 {
    if is_fork() {
        return 0;
    }
    // SAFETY: the guest calls this with its own handle.
    unsafe { source::<S>(handle) }.with(task, Connection::release);
    0
}

unsafe extern "C" fn ready<S: TaskSource>(handle: RuntimeHandle, manifest: Bytes) -> i32 {
    if is_fork() {
        leave(0);
    }
    // SAFETY: the guest calls this with its own handle and readable bytes.
    let first = unsafe { source::<S>(handle).ready(bytes(manifest.data, manifest.len)) };
    if first { 0 } else { -1 }
}

unsafe extern "C" fn fail<S: TaskSource>(handle: RuntimeHandle, error: Bytes) -> i32 {
    if is_fork() {
        leave(1);
    }
    // SAFETY: the guest calls this with its own handle and readable bytes.
    unsafe { source::<S>(handle).fail(bytes(error.data, error.len)) };
    0
}

unsafe extern "C" fn log<S: TaskSource>(handle: RuntimeHandle, stream: u32, text: Bytes) -> i32 {
    if is_fork() {
        // SAFETY: the guest calls this with readable bytes.
        return write(stream, unsafe { bytes(text.data, text.len) });
    }
    // SAFETY: the guest calls this with its own handle and readable bytes.
    unsafe { source::<S>(handle).log(stream, bytes(text.data, text.len)) };
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

unsafe extern "C" fn receive<S: TaskSource>(
    handle: RuntimeHandle,
    task: u64,
    out: *mut Item,
    wait: u32,
) -> i32 {
    if is_fork() {
        return STREAM_CANCELLED;
    }
    // SAFETY: the guest calls this with its own handle.
    let source = unsafe { source::<S>(handle) };
    let received = source.with(task, |connection, task| connection.receive(task, wait != 0));
    match received.unwrap_or(Err(Nothing::Refused)) {
        Ok(item) => {
            let (id, len, flags) = (source.beside(task, item.id), item.length.into(), item.flags.into());
            // SAFETY: the guest gives room for one item.
            unsafe { out.write(Item { id, data: item.data, len, flags, reserved: 0 }) };
            STREAM_DONE
        }
        Err(nothing) => why(nothing),
    }
}

unsafe extern "C" fn send<S: TaskSource>(
    handle: RuntimeHandle,
    task: u64,
    flags: u32,
    data: *const u8,
    len: usize,
    wait: u32,
) -> i32 {
    if is_fork() {
        return STREAM_CANCELLED;
    }
    // SAFETY: the guest calls this with its own handle and a readable payload.
    let (source, data) = unsafe { (source::<S>(handle), bytes(data, len)) };
    let sent = source.with(task, |connection, task| connection.send(task, flags as u8, data, wait != 0));
    sent.unwrap_or(Err(Nothing::Refused)).map_or_else(why, |()| STREAM_DONE)
}

unsafe extern "C" fn watch<S: TaskSource>(
    handle: RuntimeHandle,
    task: u64,
    watcher: Option<Watcher>,
    context: *mut c_void,
) -> i32 {
    if is_fork() {
        return -1;
    }
    // SAFETY: the guest calls this with its own handle.
    let source = unsafe { source::<S>(handle) };
    let watched = source.with(task, |connection, task| connection.watch(task, watcher, context));
    if watched == Some(true) { 0 } else { -1 }
}

unsafe extern "C" fn cancelled<S: TaskSource>(handle: RuntimeHandle, task: u64) -> i32 {
    if is_fork() {
        return 1;
    }
    // SAFETY: the guest calls this with its own handle.
    let cancelled = unsafe { source::<S>(handle) }.with(task, Connection::cancelled);
    cancelled.flatten().map_or(-1, i32::from)
}

unsafe extern "C" fn annotate<S: TaskSource>(handle: RuntimeHandle, task: u64, context: Bytes) -> i32 {
    if is_fork() {
        return -1;
    }
    // SAFETY: the guest calls this with its own handle and readable bytes.
    let (source, context) = unsafe { (source::<S>(handle), bytes(context.data, context.len)) };
    let kept = source.with(task, |connection, task| connection.annotate(task, context));
    if kept == Some(true) { 0 } else { -1 }
}
