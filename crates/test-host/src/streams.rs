// SPDX-License-Identifier: Apache-2.0
//! The host's functions for streams, contexts and cancellations.

use std::ffi::c_void;

use polyloop_abi::{
    Bytes, EVENT_CANCELLED, FLAG_OUTPUT, RuntimeHandle, STREAM_CANCELLED, STREAM_DONE, STREAM_END,
    STREAM_REFUSED, STREAM_WAIT, Watcher,
};

use crate::{
    call::Item,
    state::{MAX_ITEM, Progress, json, shared, slice},
};

/// Bytes of a context that goes back, at most.
const MAX_CONTEXT: usize = 4096;

/// Asks `probe` again until the answer is another one than to wait, if the guest wants to wait.
fn block(handle: RuntimeHandle, task: u64, wait: u32, mut probe: impl FnMut(&mut Progress) -> i32) -> i32 {
    let shared = shared(handle);
    let mut state = shared.lock();
    let mut waits = false;
    let status = loop {
        let Some(progress) = state.open(task) else { break STREAM_REFUSED };
        let status = if progress.cancelled { STREAM_CANCELLED } else { probe(progress) };
        if status != STREAM_WAIT || wait == 0 {
            break status;
        }
        if !std::mem::replace(&mut waits, true) {
            progress.waiting += 1;
            shared.notify();
        }
        state = shared.wait(state);
    };
    if waits {
        state.task(task).waiting -= 1;
    }
    shared.notify();
    status
}

pub unsafe extern "C" fn receive(
    handle: RuntimeHandle,
    task: u64,
    out: *mut polyloop_abi::Item,
    wait: u32,
) -> i32 {
    block(handle, task, wait, |task| match task.inbox.pop_front() {
        Some(item) => {
            // SAFETY: the guest's word: a place to write to.
            unsafe { out.write(item) };
            STREAM_DONE
        }
        None if task.ended => STREAM_END,
        None => STREAM_WAIT,
    })
}

pub unsafe extern "C" fn send(
    handle: RuntimeHandle,
    task: u64,
    flags: u32,
    data: *const u8,
    len: usize,
    wait: u32,
) -> i32 {
    block(handle, task, wait, |task| {
        if task.flags & FLAG_OUTPUT == 0 || len > MAX_ITEM {
            return STREAM_REFUSED;
        }
        if task.credit == 0 {
            return STREAM_WAIT;
        }
        task.credit -= 1;
        task.sent.push_back(Item { flags, data: slice(data, len).to_vec() });
        STREAM_DONE
    })
}

pub unsafe extern "C" fn watch(
    handle: RuntimeHandle,
    task: u64,
    watcher: Option<Watcher>,
    context: *mut c_void,
) -> i32 {
    shared(handle).change(|state| {
        let Some(task) = state.open(task) else { return -1 };
        task.watcher = watcher.map(|watcher| (watcher, context as usize));
        task.watches += 1;
        if task.cancelled {
            task.tell(EVENT_CANCELLED);
        }
        0
    })
}

pub unsafe extern "C" fn cancelled(handle: RuntimeHandle, task: u64) -> i32 {
    shared(handle).lock().open(task).map_or(-1, |task| task.cancelled.into())
}

pub unsafe extern "C" fn annotate(handle: RuntimeHandle, task: u64, context: Bytes) -> i32 {
    match shared(handle).lock().open(task) {
        Some(task) if context.len <= MAX_CONTEXT => {
            task.notes = Some(json(context));
            0
        }
        _ => -1,
    }
}
