// SPDX-License-Identifier: Apache-2.0
//! The natives that calls which stream are made of: arguments, items in, items out.

use crate::natives::entry::{Functions, plan, with_token};
use crate::python::api::Ptr;
use crate::python::object::{Gil, Ref};
use crate::runtime::{Received, Runtime};
use crate::task::invoke::{Arguments, Response, bounds};
use crate::task::plan::Plan;
use crate::task::request::{Lease, is_viewed, settle_item, view};
use crate::task::token::Token;
use polyloop_abi::{
    FLAG_BYTES, FLAG_EMPTY, Item, KIND_ITEM, STREAM_CANCELLED, STREAM_DONE, STREAM_WAIT, Task,
};
use std::sync::Arc;

pub const FUNCTIONS: Functions = &[
    (c"arguments", arguments),
    (c"receive", receive),
    (c"send", send),
    (c"try_receive", try_receive),
    (c"try_send", try_send),
    (c"watch", watch),
];

/// The flags of a task, as Python gets them.
pub fn flags(gil: Gil, task: &Task) -> Option<Ref> {
    gil.number(task.flags.into())
}

/// `arguments(token) -> tuple`: decodes the request.
unsafe extern "C" fn arguments(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, _: &[Ptr]| {
        let task = live(gil, token)?;
        let plan = plan(gil, &token.runtime())?;
        Arguments::read(gil, &plan, token.ptr(), &task)?.into_tuple(gil)
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 1, body) }
}

/// `watch(token) -> int`: has the loop told of the call's events, under the number that it returns.
unsafe extern "C" fn watch(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, _: &[Ptr]| {
        let task = live(gil, token)?;
        token.watch(&token.runtime(), task.id);
        gil.number(task.id.cast_signed())
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 1, body) }
}

/// `receive(token) -> object`: waits for the next item of the request stream; raises
/// `StopIteration` at its end.
unsafe extern "C" fn receive(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, _: &[Ptr]| {
        let task = live(gil, token)?;
        let runtime = token.runtime();
        let mut received = runtime.receive(task.id, false);
        if matches!(received, Received::Wait) {
            // The caller may have no more credit than for the items that we still have.
            token.settle_items();
            if runtime.enter() {
                received = gil.detached(|| runtime.receive(task.id, true));
                runtime.leave();
            }
        }
        // SAFETY: an exception of the interpreter.
        hand_out(gil, token, &runtime, &received, unsafe { *gil.api.PyExc_StopIteration })
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 1, body) }
}

/// `try_receive(token, otherwise) -> object`: the next item of the request stream, or `otherwise`
/// if none has come yet; raises `StopAsyncIteration` at its end.
unsafe extern "C" fn try_receive(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, rest: &[Ptr]| {
        let task = live(gil, token)?;
        let runtime = token.runtime();
        let received = runtime.receive(task.id, false);
        if matches!(received, Received::Wait) {
            token.settle_items();
            return Some(gil.share(rest[0]));
        }
        // SAFETY: an exception of the interpreter.
        hand_out(gil, token, &runtime, &received, unsafe { *gil.api.PyExc_StopAsyncIteration })
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 2, body) }
}

fn hand_out(gil: Gil, token: Token, runtime: &Arc<Runtime>, received: &Received, end: Ptr) -> Option<Ref> {
    // Another thread may have answered while this one waited.
    if live(gil, token).is_none() {
        if let Received::Item(item) = received {
            runtime.give_back(item.id);
        }
        return None;
    }
    match received {
        Received::Item(item) => open(gil, token, runtime, item),
        Received::End => {
            // SAFETY: a type of exceptions; with None it is made without arguments.
            unsafe { (gil.api.PyErr_SetObject)(end, gil.api._Py_NoneStruct) };
            None
        }
        Received::Cancelled | Received::Over | Received::Wait => refuse(gil, runtime, STREAM_CANCELLED, 0),
    }
}

/// The object that an item is, as a request would be. Bytes, and those in an envelope, stay with the
/// host until no view is left.
fn open(gil: Gil, token: Token, runtime: &Arc<Runtime>, item: &Item) -> Option<Ref> {
    let flags = item.flags as u8;
    let task = Task {
        id: item.id,
        kind: KIND_ITEM,
        flags: flags & (FLAG_BYTES | FLAG_EMPTY),
        method: 0,
        reserved: 0,
        data: item.data,
        len: item.len,
        deadline_ns: 0,
        context: std::ptr::null(),
        context_len: 0,
    };
    let (plan, lease) = (plan(gil, runtime), Lease::new(gil, runtime));
    let Some((plan, mut lease)) = plan.zip(lease) else {
        runtime.give_back(item.id);
        return None;
    };
    lease.open(&task);
    let item = lease.into_item();
    let value = if flags & FLAG_EMPTY != 0 {
        Some(gil.none())
    } else if flags & FLAG_BYTES != 0 {
        view(gil, item.ptr())
    } else {
        decode(gil, &plan, item.ptr(), &task)
    };
    // What was made of it may look at it: all of it, or the bytes in an envelope.
    if value.is_some() && is_viewed(&item) {
        token.keep_item(item);
    } else {
        settle_item(item);
    }
    value
}

fn decode(gil: Gil, plan: &Plan, request: Ptr, task: &Task) -> Option<Ref> {
    match Arguments::read(gil, plan, request, task)? {
        Arguments::One(value) => Some(value),
        Arguments::None | Arguments::Many(_) => Some(gil.none()),
    }
}

/// `send(token, item)`: sends an item of the response stream, and waits until the caller has room
/// for it.
unsafe extern "C" fn send(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, rest: &[Ptr]| {
        let task = live(gil, token)?;
        let runtime = token.runtime();
        let item = Response::pack(gil, &*plan(gil, &runtime)?, gil.share(rest[0]), &bounds(&task))?;
        let mut status = item.stream(&runtime, task.id, false);
        if status == STREAM_WAIT && runtime.enter() {
            status = gil.detached(|| item.stream(&runtime, task.id, true));
            runtime.leave();
        }
        if status == STREAM_DONE { Some(gil.none()) } else { refuse(gil, &runtime, status, item.len()) }
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 2, body) }
}

/// `try_send(token, item) -> int`: sends an item without waiting: 0 if the caller has no room for
/// it yet.
unsafe extern "C" fn try_send(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, token: Token, rest: &[Ptr]| {
        let task = live(gil, token)?;
        let runtime = token.runtime();
        let item = Response::pack(gil, &*plan(gil, &runtime)?, gil.share(rest[0]), &bounds(&task))?;
        match item.stream(&runtime, task.id, false) {
            status @ (STREAM_DONE | STREAM_WAIT) => gil.number(status.into()),
            status => refuse(gil, &runtime, status, item.len()),
        }
    };
    // SAFETY: called by Python.
    unsafe { with_token(arguments, count, 2, body) }
}

/// The task of a token; none, with an exception, once it is answered.
fn live(gil: Gil, token: Token) -> Option<Task> {
    token.task().or_else(|| refuse(gil, &token.runtime(), STREAM_CANCELLED, 0))
}

/// Raises what the kit says of a stream that goes no further.
fn refuse<T>(gil: Gil, runtime: &Runtime, status: i32, len: usize) -> Option<T> {
    let plan = plan(gil, runtime)?;
    let (status, len) = (gil.number(status.into())?, gil.number(len.cast_signed() as i64)?);
    gil.raise(&gil.call(plan.refused.ptr(), &[status.ptr(), len.ptr()])?);
    None
}
