// SPDX-License-Identifier: Apache-2.0
//! The way from Python into a native function.

use crate::python::api::{Api, FastCall, Ptr};
use crate::python::object::{Gil, Ref};
use crate::runtime::Runtime;
use crate::task::plan::Plan;
use crate::task::token::Token;
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

/// Runs `body` with the runtime of the first argument, and the other arguments.
///
/// # Safety
/// Called by Python, with what it passed.
pub unsafe fn enter(
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

/// Runs `body` with the arguments.
///
/// # Safety
/// Called by Python, with what it passed.
pub unsafe fn called(
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

/// The plan of a runtime; none, with an exception, if the runtime is unloaded.
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
