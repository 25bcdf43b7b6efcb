// SPDX-License-Identifier: Apache-2.0
//! Whom the host tells of a task's events, for the asyncio loop to look.

use crate::runtime::Runtime;
use std::ffi::c_void;
use std::sync::Arc;

/// Whom the host tells of a task's events.
pub struct Watch {
    runtime: Arc<Runtime>,
    task: u64,
}

impl Watch {
    pub fn new(runtime: &Arc<Runtime>, task: u64) -> Self {
        Self { runtime: Arc::clone(runtime), task }
    }
}

/// Runs on any thread, under a lock of the host's: takes no lock but the inbox's, and never the
/// GIL.
///
/// # Safety
/// `context` is a [`Watch`] whose task is not answered yet.
pub unsafe extern "C" fn notice(context: *mut c_void, events: u32) {
    // SAFETY: what `watch` passed; the task is not answered yet, so it lives.
    let watch = unsafe { &*context.cast::<Watch>() };
    watch.runtime.inbox.signal(watch.task, events);
}
