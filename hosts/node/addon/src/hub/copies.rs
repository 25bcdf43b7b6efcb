// SPDX-License-Identifier: Apache-2.0
//! How many hubs an environment has: each copy of the package in a program, as package managers make if two dependencies
//! want two versions, is an add-on of its own with a hub of its own.
//!
//! A property of the environment's global object, under a symbol that all versions know, holds their number as an
//! `Uint32Array` of one word.

use std::ptr;

use napi_sys::{self as sys, napi_env, napi_ref, napi_value};

use crate::napi::{self, Result, check, value};

/// All versions of the package use this name, and the form described above.
const NAME: &str = "polyloop.hubs";

/// The number of hubs of this thread, this one included.
pub struct Copies {
    env: napi_env,
    count: *mut u32,
    /// Keeps the word from being collected.
    reference: napi_ref,
}

impl Copies {
    /// Counts one more.
    pub fn join(env: napi_env) -> Result<Self> {
        let array = shared_array(env)?;
        let mut count = ptr::null_mut();
        let mut length = 0;
        let mut kind = 0;
        // SAFETY: env and the value are live; what is not wanted is not asked for.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                env,
                array,
                &raw mut kind,
                &raw mut length,
                &raw mut count,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        check(status, NAME)?;
        if kind != sys::TypedarrayType::uint32_array || length == 0 {
            return Err(
                format!("{NAME} of the global object is not what a copy of polyloop has put there").into()
            );
        }
        let copies = Self { env, count: count.cast(), reference: napi::reference(env, array)? };
        // SAFETY: the word lives as long as the reference, and belongs to this thread.
        unsafe { *copies.count += 1 };
        Ok(copies)
    }

    /// Whether other hubs keep this thread's loop alive, too, if they do as this one does.
    pub fn has_others(&self) -> bool {
        // SAFETY: as in join.
        unsafe { *self.count > 1 }
    }

    /// This hub ends with its environment. The word is not looked at after that.
    pub fn leave(&self) {
        // SAFETY: as in join; called once, on the environment's thread.
        unsafe {
            *self.count -= 1;
            sys::napi_delete_reference(self.env, self.reference);
        }
    }
}

/// The array of this environment, which the first of its hubs makes.
fn shared_array(env: napi_env) -> Result<napi_value> {
    // SAFETY: env is live.
    let global = value("the global object", |out| unsafe { sys::napi_get_global(env, out) })?;
    let symbol = value(NAME, |out| {
        // SAFETY: env is live, and the name valid for the call.
        unsafe { sys::node_api_symbol_for(env, NAME.as_ptr().cast(), NAME.len().cast_signed(), out) }
    })?;
    let mut is_there = false;
    // SAFETY: env and the values are live.
    check(unsafe { sys::napi_has_property(env, global, symbol, &raw mut is_there) }, NAME)?;
    if is_there {
        // SAFETY: as above.
        return value(NAME, |out| unsafe { sys::napi_get_property(env, global, symbol, out) });
    }
    let memory = value("memory", |out| {
        // SAFETY: env is live; where the memory lies is asked for later.
        unsafe { sys::napi_create_arraybuffer(env, size_of::<u32>(), ptr::null_mut(), out) }
    })?;
    let array = value(NAME, |out| {
        // SAFETY: the memory has room for one word.
        unsafe { sys::napi_create_typedarray(env, sys::TypedarrayType::uint32_array, 1, memory, 0, out) }
    })?;
    let property = sys::napi_property_descriptor {
        utf8name: ptr::null(),
        name: symbol,
        method: None,
        getter: None,
        setter: None,
        value: array,
        // Neither listed nor written.
        attributes: sys::PropertyAttributes::default,
        data: ptr::null_mut(),
    };
    // SAFETY: env and the values are live, and so is the one property.
    check(unsafe { sys::napi_define_properties(env, global, 1, &raw const property) }, NAME)?;
    Ok(array)
}
