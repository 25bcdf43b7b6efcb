// SPDX-License-Identifier: Apache-2.0
//! The host's functions for tasks, and for what a guest says of itself.

use polyloop_abi::{Bytes, RuntimeHandle, STATUS_OK, TAKE_EMPTY, TAKE_STOPPED, TAKE_TASK, Task};

use crate::{
    call::Answer,
    state::{json, shared, slice},
};

pub unsafe extern "C" fn take(handle: RuntimeHandle, out: *mut Task, wait: u32) -> i32 {
    let shared = shared(handle);
    let mut state = shared.lock();
    loop {
        if let Some(task) = state.queue.pop_front() {
            // SAFETY: the guest's word: a place to write to.
            unsafe { out.write(task) };
            return TAKE_TASK;
        }
        if state.stopped {
            return TAKE_STOPPED;
        }
        if wait == 0 {
            return TAKE_EMPTY;
        }
        state = shared.wait(state);
    }
}

pub unsafe extern "C" fn respond(
    handle: RuntimeHandle,
    task: u64,
    status: u32,
    flags: u32,
    data: *const u8,
    len: usize,
) -> i32 {
    let data = slice(data, len).to_vec();
    shared(handle).change(|state| {
        let owner = state.pages.get(&task).expect("a task is answered once").owner;
        state.give_back(task);
        if owner.is_some() {
            assert_eq!((status, len), (STATUS_OK, 0), "an item is given back, not answered");
            state.returned += 1;
        } else {
            state.answer(task, Answer { status, flags, data });
        }
    });
    0
}

pub unsafe extern "C" fn hold(handle: RuntimeHandle, task: u64) -> i32 {
    let mut state = shared(handle).lock();
    state.held += 1;
    let page = state.pages.get_mut(&task).expect("hold comes before the answer");
    assert!(!page.answered && !page.held, "{task} is held late or twice");
    page.held = true;
    0
}

pub unsafe extern "C" fn release(handle: RuntimeHandle, task: u64) -> i32 {
    shared(handle).change(|state| {
        let page = state.pages.remove(&task).expect("release comes once, of what is held");
        assert!(page.held && page.answered, "release comes after the answer of what is held");
        state.held -= 1;
        state.released += 1;
    });
    0
}

pub unsafe extern "C" fn ready(handle: RuntimeHandle, manifest: Bytes) -> i32 {
    shared(handle).change(|state| state.manifest = Some(json(manifest)));
    0
}

pub unsafe extern "C" fn fail(handle: RuntimeHandle, error: Bytes) -> i32 {
    shared(handle).change(|state| state.failure = Some(json(error)));
    0
}

pub unsafe extern "C" fn log(handle: RuntimeHandle, stream: u32, text: Bytes) -> i32 {
    let text = String::from_utf8(slice(text.data, text.len).to_vec()).expect("lines are UTF-8");
    shared(handle).change(|state| state.log.push((stream, text)));
    0
}
