// SPDX-License-Identifier: Apache-2.0
//! A task as Python names it: by its request object.

use crate::python::api::Ptr;
use crate::python::object::{Gil, Ref};
use crate::runtime::Runtime;
use crate::task::request::{Request, cast, keep_item, settle, settle_items};
use crate::task::watch::{Watch, notice};
use polyloop_abi::Task;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// A request object that Python passed; it is alive while the call that got it runs.
#[derive(Clone, Copy)]
pub struct Token(NonNull<Request>);

impl Token {
    /// None if the object is something else, with the exception that says so.
    pub fn of(gil: Gil, object: Ptr) -> Option<Self> {
        let request = cast(gil, object);
        if request.is_none() {
            gil.raise_type_error("not a task of this loader");
        }
        request.map(Self)
    }

    pub fn runtime(self) -> Arc<Runtime> {
        // SAFETY: alive, and a request object that Python has was made for a runtime.
        unsafe {
            let runtime = self.0.as_ref().runtime;
            Arc::increment_strong_count(runtime);
            Arc::from_raw(runtime)
        }
    }

    pub fn ptr(self) -> Ptr {
        self.0.as_ptr().cast()
    }

    /// The task, until it is answered.
    pub fn task(self) -> Option<Task> {
        // SAFETY: alive, with the GIL.
        let request = unsafe { self.0.as_ref() };
        request.live.then_some(request.task)
    }

    /// Gives back the items of the request stream, whatever still looks at them.
    pub fn settle_items(self) {
        // SAFETY: alive, with the GIL.
        unsafe { settle_items(self.0) };
    }

    /// Keeps an item that is handed out.
    pub fn keep_item(self, item: Ref) {
        // SAFETY: alive, with the GIL.
        unsafe { keep_item(self.0, item) };
    }

    /// Has the loop told of the task's events, until it is answered.
    pub fn watch(mut self, runtime: &Arc<Runtime>, task: u64) {
        let watch = Box::into_raw(Box::new(Watch::new(runtime, task)));
        // SAFETY: alive, with the GIL; the box lives until the object dies, which answers the task
        // before.
        unsafe {
            self.0.as_mut().watch = watch;
            runtime.watch(task, notice, watch.cast());
        }
    }
}

/// The task behind a token, if `object` is one that still wants a response: from now on it does
/// not.
pub fn claim(gil: Gil, object: Ptr) -> Option<Claim> {
    let mut request = cast(gil, object)?;
    // SAFETY: alive, with the GIL.
    let Request { unanswered, task, .. } = unsafe { request.as_mut() };
    let start = task.data as usize;
    let bounds = start..start + task.len as usize;
    std::mem::take(unanswered).then_some(Claim { request, task: task.id, bounds })
}

/// The right to answer a task.
pub struct Claim {
    request: NonNull<Request>,
    pub task: u64,
    /// Where the request lies.
    pub bounds: Range<usize>,
}

impl Claim {
    /// Ends the request, just before the response.
    pub fn settle(&self) {
        // SAFETY: the token is alive, its holder sees to that; with the GIL.
        unsafe { settle(self.request) };
    }
}
