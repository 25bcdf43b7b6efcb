// SPDX-License-Identifier: Apache-2.0
//! Long lists of numbers, which travel as floats beside the text.

use crate::json::bounds::SAFE;
use crate::python::api::Ptr;
use crate::python::object::{Gil, Ref};
use std::ffi::c_int;

/// Lists of this length may travel packed: `SHORTEST_PACKED` of the kit.
const SHORTEST: isize = 64;

/// Whether a list of `count` items may travel packed, by its length and its first item.
///
/// # Safety
/// `item` is the function that gets items of `values`.
pub unsafe fn begins_packed(
    gil: Gil,
    values: Ptr,
    count: isize,
    item: unsafe extern "C" fn(Ptr, isize) -> Ptr,
) -> bool {
    if count < SHORTEST {
        return false;
    }
    // SAFETY: as the caller says; the item is alive, and looked at as what it is.
    unsafe {
        let first = item(values, 0);
        (*first).kind == gil.api.PyFloat_Type && has_fraction((gil.api.PyFloat_AsDouble)(first))
    }
}

/// As JavaScript says: NaN and infinities are no integers.
fn has_fraction(value: f64) -> bool {
    !value.is_finite() || value.fract() != 0.0
}

/// The bytes of a list or tuple that travels packed, as `bytes`; `None` of one that does not.
pub fn pack(gil: Gil, values: Ptr) -> Option<Ref> {
    // SAFETY: alive; only its type is looked at.
    let kind = unsafe { (*values).kind };
    let api = gil.api;
    let (size, item) = match kind {
        kind if kind == api.PyList_Type => (api.PyList_Size, api.PyList_GetItem),
        kind if kind == api.PyTuple_Type => (api.PyTuple_Size, api.PyTuple_GetItem),
        _ => return Some(gil.none()),
    };
    // SAFETY: the functions of its type.
    unsafe {
        let count = size(values);
        if !begins_packed(gil, values, count, item) {
            return Some(gil.none());
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(8 * count.cast_unsigned());
        for index in 0..count {
            let Some(number) = number(gil, item(values, index)) else { return Some(gil.none()) };
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        gil.own((api.PyBytes_FromStringAndSize)(bytes.as_ptr().cast(), bytes.len().cast_signed()))
    }
}

fn number(gil: Gil, value: Ptr) -> Option<f64> {
    let api = gil.api;
    // SAFETY: alive, and looked at as what its type says.
    unsafe {
        if (*value).kind == api.PyFloat_Type {
            return Some((api.PyFloat_AsDouble)(value));
        }
        if (*value).kind != api.PyLong_Type {
            return None;
        }
        let mut overflow: c_int = 0;
        let number = (api.PyLong_AsLongLongAndOverflow)(value, &raw mut overflow);
        #[allow(clippy::cast_precision_loss, reason = "of 53 bits at most")]
        (overflow == 0 && (-SAFE..=SAFE).contains(&number)).then_some(number as f64)
    }
}

/// The list that was packed into some bytes.
pub fn unpack(gil: Gil, bytes: &[u8]) -> Option<Ref> {
    let api = gil.api;
    let count = bytes.len() / 8;
    // SAFETY: a list of that many places, each of which takes over one reference.
    unsafe {
        let list = gil.own((api.PyList_New)(count.cast_signed()))?;
        for (index, chunk) in bytes.as_chunks().0.iter().enumerate() {
            let object = object(gil, f64::from_le_bytes(*chunk))?;
            (api.PyList_SetItem)(list.ptr(), index.cast_signed(), object.into_ptr());
        }
        Some(list)
    }
}

/// As JSON has it: without a fraction it is an integer.
fn object(gil: Gil, value: f64) -> Option<Ref> {
    #[allow(clippy::cast_possible_truncation, reason = "compared with what it was")]
    let integer = value as i64;
    #[allow(clippy::cast_precision_loss, reason = "of 53 bits at most")]
    let is_integer = (-SAFE..=SAFE).contains(&integer) && (integer as f64).to_bits() == value.to_bits();
    // SAFETY: with the GIL.
    unsafe {
        gil.own(if is_integer {
            (gil.api.PyLong_FromLongLong)(integer)
        } else {
            (gil.api.PyFloat_FromDouble)(value)
        })
    }
}
