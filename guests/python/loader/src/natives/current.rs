// SPDX-License-Identifier: Apache-2.0
//! What a function may ask about the call that it runs in: the natives behind
//! `polyloop.cancelled()` and its like.

use crate::natives::entry::{Functions, with_token};
use crate::python::api::{Api, Ptr};
use crate::python::object::{Gil, Ref};
use crate::task::token::Token;
use std::cell::Cell;
use std::ptr;

pub const FUNCTIONS: Functions = &[
    (c"annotate", annotate),
    (c"cancelled", cancelled),
    (c"context", context),
    (c"current", current),
    (c"deadline", deadline),
];

thread_local! {
    /// Where this thread of the pool notes the request object of the call that it runs; null
    /// elsewhere.
    static NOTED: Cell<*const Cell<Ptr>> = const { Cell::new(ptr::null()) };
}

/// Runs `body`, a thread of the pool, with a place to note its call in: a request object that is
/// alive, or null.
pub fn noting<R>(body: impl FnOnce(&Cell<Ptr>) -> R) -> R {
    let place = Cell::new(ptr::null_mut());
    NOTED.set(&raw const place);
    let result = body(&place);
    NOTED.set(ptr::null());
    result
}

/// `current() -> token | None`: the call that this thread of the pool runs.
unsafe extern "C" fn current(_: Ptr, _: *const Ptr, _: isize) -> Ptr {
    let Some(api) = Api::get() else { return ptr::null_mut() };
    // SAFETY: Python calls native functions with the GIL.
    let gil = unsafe { Gil::assume(api) };
    // SAFETY: null, or a place on the stack of this thread, whose pool loop runs this.
    let request = unsafe { NOTED.get().as_ref() }.map_or(ptr::null_mut(), Cell::get);
    if request.is_null() { gil.none() } else { gil.share(request) }.into_ptr()
}

/// `cancelled(token) -> int`: 1 if the caller has given the call up; 0, too, once it is answered.
unsafe extern "C" fn cancelled(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, _: &[Ptr]| {
        let cancelled = token.task().is_some_and(|task| token.runtime().is_cancelled(task.id));
        gil.number(cancelled.into())
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 1, body) }
}

/// `deadline(token) -> int`: nanoseconds of the monotonic clock; 0 for never, and once the call is
/// answered.
unsafe extern "C" fn deadline(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, _: &[Ptr]| {
        gil.number(token.task().map_or(0, |task| task.deadline_ns.cast_signed()))
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 1, body) }
}

/// `context(token) -> str`: a JSON object of strings, or nothing.
unsafe extern "C" fn context(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, _: &[Ptr]| {
        let task = token.task().filter(|task| task.context_len > 0);
        let text = task.map_or_else(String::new, |task| {
            // SAFETY: readable as long as the task is not answered.
            let bytes = unsafe { std::slice::from_raw_parts(task.context, task.context_len as usize) };
            String::from_utf8_lossy(bytes).into_owned()
        });
        gil.text(&text)
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 1, body) }
}

/// `annotate(token, text) -> int`: sets the JSON object that goes back; 0 if that is too long.
unsafe extern "C" fn annotate(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, rest: &[Ptr]| -> Option<Ref> {
        let text = gil.share(rest[0]);
        let text = gil.utf8(&text).unwrap_or_default();
        let done = token.task().is_none_or(|task| token.runtime().annotate(task.id, text));
        gil.number(done.into())
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 2, body) }
}
