// SPDX-License-Identifier: Apache-2.0
//! What the Python kit calls: the functions of its module `polyloop._native`.

use crate::natives::entry::{Functions, enter, plan};
use crate::natives::{current, replaced, streams, values};
use crate::python::api::{Api, FastCall, METH_FASTCALL, MethodDef, Ptr};
use crate::python::object::{Gil, Ref};
use crate::runtime::Runtime;
use crate::task::invoke::Response;
use crate::task::token::claim;
use crate::worker;
use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;

/// A dict of the native functions, by name.
pub fn functions(gil: Gil) -> Option<Ref> {
    // SAFETY: with the GIL.
    let dict = gil.own(unsafe { (gil.api.PyDict_New)() })?;
    for table in [FUNCTIONS, current::FUNCTIONS, replaced::FUNCTIONS, streams::FUNCTIONS, values::FUNCTIONS] {
        for (name, function) in table {
            define(gil, &dict, name, *function)?;
        }
    }
    Some(dict)
}

const FUNCTIONS: Functions = &[
    (c"answer", answer),
    (c"answer_error", answer_error),
    (c"attend", attend),
    (c"bell", bell),
    (c"crashed", crashed),
    (c"drain", drain),
    (c"log", log),
    (c"note_partial", note_partial),
    (c"refuse", refuse),
    (c"work", work),
];

fn define(gil: Gil, dict: &Ref, name: &CStr, function: FastCall) -> Option<()> {
    let definition = MethodDef { name: name.as_ptr(), function, flags: METH_FASTCALL, doc: ptr::null() };
    // Python keeps the definition for as long as the function: one of each for the process.
    let definition = Box::leak(Box::new(definition));
    // SAFETY: a definition that lives for ever, and a dict.
    unsafe {
        let function = gil.own((gil.api.PyCFunction_NewEx)(definition, ptr::null_mut(), ptr::null_mut()))?;
        (gil.api.PyDict_SetItemString)(dict.ptr(), name.as_ptr(), function.ptr());
    }
    Some(())
}

/// `work(runtime)`: a thread of the pool, from start to end.
unsafe extern "C" fn work(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, _: &[Ptr]| {
        let plan = plan(gil, runtime)?;
        worker::work(gil, runtime, &plan);
        Some(gil.none())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 1, body) }
}

/// `bell(runtime) -> int`: the file descriptor that becomes readable when tasks were posted, or -1.
unsafe extern "C" fn bell(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body =
        |gil: Gil, runtime: &Arc<Runtime>, _: &[Ptr]| gil.number(runtime.inbox.bell().unwrap_or(-1).into());
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 1, body) }
}

/// `attend(runtime, does) -> None`: whether the loop that looks for what was posted runs.
unsafe extern "C" fn attend(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, rest: &[Ptr]| {
        // SAFETY: alive; a bool.
        runtime.inbox.attend(unsafe { (gil.api.PyObject_IsTrue)(rest[0]) } == 1);
        Some(gil.none())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 2, body) }
}

/// `drain(runtime)`: starts what was posted to the loop.
unsafe extern "C" fn drain(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, _: &[Ptr]| {
        match runtime.plan() {
            Some(plan) => worker::drain(gil, runtime, &plan),
            None => runtime.refuse_posted(),
        }
        Some(gil.none())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 1, body) }
}

/// `answer(runtime, token, [result])`: the response of an async function; empties the list.
unsafe extern "C" fn answer(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, rest: &[Ptr]| {
        let plan = plan(gil, runtime)?;
        if let Some(claim) = claim(gil, rest[0]) {
            // SAFETY: a list of one item, borrowed before it is replaced.
            let result = unsafe {
                let result = gil.share((gil.api.PyList_GetItem)(rest[1], 0));
                (gil.api.PyList_SetItem)(rest[1], 0, gil.none().into_ptr());
                result
            };
            let response = Response::of(gil, &plan, Some(result), &claim.bounds);
            claim.settle();
            response.send(runtime, claim.task);
        }
        Some(gil.none())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 3, body) }
}

/// `answer_error(runtime, token, exception)`: the response of an async function that raised.
unsafe extern "C" fn answer_error(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, rest: &[Ptr]| {
        let plan = plan(gil, runtime)?;
        if let Some(claim) = claim(gil, rest[0]) {
            let response = Response::error(gil, &plan, &gil.share(rest[1]));
            claim.settle();
            response.send(runtime, claim.task);
        }
        Some(gil.none())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 3, body) }
}

/// `crashed(runtime, error)`: the guest has died of `error`, an error object.
unsafe extern "C" fn crashed(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, rest: &[Ptr]| {
        runtime.fail(gil.utf8(&gil.share(rest[0]))?);
        runtime.refuse_posted();
        Some(gil.none())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 2, body) }
}

/// `log(runtime, stream, text) -> int`: whole lines, or a part of one; 0 if the runtime is unloaded.
unsafe extern "C" fn log(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, rest: &[Ptr]| {
        // SAFETY: alive; an int.
        let stream = if unsafe { (gil.api.PyLong_AsLong)(rest[0]) } == 2 { 2 } else { 1 };
        let text = gil.share(rest[1]);
        let text = gil.utf8(&text)?;
        let open = runtime.enter();
        if open {
            gil.detached(|| runtime.log(stream, text));
            runtime.leave();
        }
        gil.number(open.into())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 3, body) }
}

/// `refuse(runtime)`: answers what was posted to a loop that has ended.
unsafe extern "C" fn refuse(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, runtime: &Arc<Runtime>, _: &[Ptr]| {
        runtime.refuse_posted();
        Some(gil.none())
    };
    // SAFETY: called by Python.
    unsafe { enter(arguments, count, 1, body) }
}

/// `note_partial()`: this thread's task printed an unfinished line.
unsafe extern "C" fn note_partial(_: Ptr, _: *const Ptr, _: isize) -> Ptr {
    worker::note_partial();
    // SAFETY: Python calls native functions with the GIL.
    Api::get().map_or(ptr::null_mut(), |api| unsafe { Gil::assume(api) }.none().into_ptr())
}
