// SPDX-License-Identifier: Apache-2.0
//! What the Python kit calls: the functions of its module `polyloop._native`.

use crate::api::{Api, FastCall, METH_FASTCALL, MethodDef, Ptr};
use crate::invoke::Response;
use crate::object::{Gil, Ref};
use crate::plan::Plan;
use crate::runtime::Runtime;
use crate::token::{Token, claim};
use crate::{current, streams, worker};
use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;

const CAPSULE: &CStr = c"polyloop.runtime";

/// The runtime as Python holds it.
pub fn capsule(gil: Gil, runtime: &Arc<Runtime>) -> Option<Ref> {
    let shared = Arc::into_raw(Arc::clone(runtime)).cast_mut().cast();
    // SAFETY: a static name, and a pointer that `release` takes back.
    let capsule = gil.own(unsafe { (gil.api.PyCapsule_New)(shared, CAPSULE.as_ptr(), Some(release)) });
    if capsule.is_none() {
        // SAFETY: nobody took the reference over.
        drop(unsafe { Arc::from_raw(shared.cast_const().cast::<Runtime>()) });
    }
    capsule
}

unsafe extern "C" fn release(capsule: Ptr) {
    if let Some(api) = Api::get() {
        // SAFETY: the capsule is one of ours, and this runs once.
        let shared = unsafe { (api.PyCapsule_GetPointer)(capsule, CAPSULE.as_ptr()) };
        if !shared.is_null() {
            // SAFETY: made by Arc::into_raw in `capsule`.
            drop(unsafe { Arc::from_raw(shared.cast_const().cast::<Runtime>()) });
        }
    }
}

/// Functions that Python calls, by name.
pub type Functions = &'static [(&'static CStr, FastCall)];

/// A dict of the native functions, by name.
pub fn functions(gil: Gil) -> Option<Ref> {
    // SAFETY: with the GIL.
    let dict = gil.own(unsafe { (gil.api.PyDict_New)() })?;
    for table in [FUNCTIONS, current::FUNCTIONS, streams::FUNCTIONS] {
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

/// Runs `body` with the runtime of the first argument, and the other arguments.
unsafe fn enter(
    arguments: *const Ptr,
    count: isize,
    expected: usize,
    body: impl FnOnce(Gil, &Arc<Runtime>, &[Ptr]) -> Option<Ref>,
) -> Ptr {
    let body = |gil: Gil, arguments: &[Ptr]| {
        // SAFETY: the argument is alive; GetPointer checks that it is a capsule of ours.
        let shared = unsafe { (gil.api.PyCapsule_GetPointer)(arguments[0], CAPSULE.as_ptr()) };
        if shared.is_null() {
            return None;
        }
        // SAFETY: the capsule keeps a reference; this one counts for itself.
        let runtime = unsafe {
            Arc::increment_strong_count(shared.cast_const().cast::<Runtime>());
            Arc::from_raw(shared.cast_const().cast::<Runtime>())
        };
        body(gil, &runtime, &arguments[1..])
    };
    // SAFETY: as the caller says.
    unsafe { called(arguments, count, expected, body) }
}

/// Runs `body` with the task of the first argument, and the other arguments.
///
/// # Safety
/// Called by Python, with what it passed.
pub unsafe fn with_token(
    arguments: *const Ptr,
    count: isize,
    expected: usize,
    body: impl FnOnce(Gil, Token, &[Ptr]) -> Option<Ref>,
) -> Ptr {
    let body = |gil: Gil, arguments: &[Ptr]| body(gil, Token::of(gil, arguments[0])?, &arguments[1..]);
    // SAFETY: as the caller says.
    unsafe { called(arguments, count, expected, body) }
}

unsafe fn called(
    arguments: *const Ptr,
    count: isize,
    expected: usize,
    body: impl FnOnce(Gil, &[Ptr]) -> Option<Ref>,
) -> Ptr {
    let Some(api) = Api::get() else { return ptr::null_mut() };
    // SAFETY: Python calls native functions with the GIL, and `count` arguments.
    let (gil, arguments) =
        unsafe { (Gil::assume(api), std::slice::from_raw_parts(arguments, count.cast_unsigned())) };
    if arguments.len() != expected {
        // SAFETY: a C string.
        unsafe { (api.PyErr_SetString)(*api.PyExc_TypeError, c"wrong number of arguments".as_ptr()) };
        return ptr::null_mut();
    }
    body(gil, arguments).map_or(ptr::null_mut(), Ref::into_ptr)
}

/// The plan of a runtime; none, with an exception, where it is unloaded.
pub fn plan(gil: Gil, runtime: &Runtime) -> Option<Arc<Plan>> {
    let plan = runtime.plan();
    if plan.is_none() {
        // SAFETY: a C string.
        unsafe {
            (gil.api.PyErr_SetString)(*gil.api.PyExc_RuntimeError, c"the runtime is unloaded".as_ptr());
        };
    }
    plan
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

/// `answer_error(runtime, token, exception)`: the same where it raised.
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

/// `log(runtime, stream, text) -> int`: whole lines; 0 where the runtime is unloaded.
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
