// SPDX-License-Identifier: Apache-2.0
//! The natives of values: long lists of numbers, and plain JSON by itself, as tests try it.

use crate::json;
use crate::natives::entry::{Functions, called};
use crate::python::api::Ptr;
use crate::python::object::{Gil, Ref};

pub const FUNCTIONS: Functions =
    &[(c"pack", pack), (c"parse", parse), (c"unpack", unpack), (c"write", write)];

/// `pack(values) -> bytes | None`: the bytes of a list or tuple that travels packed.
unsafe extern "C" fn pack(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    // SAFETY: called by Python.
    unsafe { called(arguments, count, 1, |gil, arguments| json::pack(gil, arguments[0])) }
}

/// `unpack(bytes) -> list`: the list that was packed.
unsafe extern "C" fn unpack(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, arguments: &[Ptr]| json::unpack(gil, &gil.bytes(arguments[0])?);
    // SAFETY: called by Python.
    unsafe { called(arguments, count, 1, body) }
}

/// `parse(bytes) -> [value] | None`: what a request of plain JSON becomes; `None` if the kit has to
/// look at it.
unsafe extern "C" fn parse(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, arguments: &[Ptr]| {
        let value = json::parse(gil, &gil.bytes(arguments[0])?);
        gil.clear();
        let Some(value) = value else { return Some(gil.none()) };
        // SAFETY: a list of one place, which takes the reference over.
        unsafe {
            let list = gil.own((gil.api.PyList_New)(1))?;
            (gil.api.PyList_SetItem)(list.ptr(), 0, value.into_ptr());
            Some(list)
        }
    };
    // SAFETY: called by Python.
    unsafe { called(arguments, count, 1, body) }
}

/// `write(value) -> bytes | None`: the response of a plain value.
unsafe extern "C" fn write(_: Ptr, arguments: *const Ptr, count: isize) -> Ptr {
    let body = |gil: Gil, arguments: &[Ptr]| -> Option<Ref> {
        let Some(text) = json::write(gil, &gil.share(arguments[0])) else { return Some(gil.none()) };
        gil.make_bytes(&text)
    };
    // SAFETY: called by Python.
    unsafe { called(arguments, count, 1, body) }
}
