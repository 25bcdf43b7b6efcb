// SPDX-License-Identifier: Apache-2.0
//! The hub of an environment, which JavaScript opens first.

use std::{ffi::c_void, ptr};

use napi_sys::{self as sys, napi_env, napi_value};

use crate::{
    hub::{Hub, handles},
    napi::{self, Result},
};

/// What Node keeps for an environment.
struct Instance {
    hub: *mut Hub,
    /// The hub's words, as JavaScript has them.
    words: sys::napi_ref,
}

fn instance<'a>(env: napi_env) -> Result<&'a Instance> {
    let mut data = ptr::null_mut();
    // SAFETY: env is live.
    napi::check(unsafe { sys::napi_get_instance_data(env, &raw mut data) }, "instance")?;
    // SAFETY: only `openHub` sets the data, to an Instance that lives as long as the environment.
    unsafe { data.cast::<Instance>().as_ref() }.ok_or_else(|| "openHub() was not called".into())
}

/// The hub of an environment, for a call that is counted.
pub fn hub<'a>(env: napi_env) -> Result<&'a mut Hub> {
    let hub = uncounted(env)?;
    hub.counts.calls += 1;
    Ok(hub)
}

/// The same for a call that is not.
pub fn uncounted<'a>(env: napi_env) -> Result<&'a mut Hub> {
    // SAFETY: the hub lives until the environment's cleanup, after which no JavaScript runs;
    // exports are not re-entered while one of them holds the hub.
    Ok(unsafe { &mut *instance(env)?.hub })
}

/// `openHub()`: the hub's words, which are the same each time.
pub fn open_hub(env: napi_env, []: [napi_value; 0]) -> Result<Option<napi_value>> {
    unsafe extern "C" fn finalize(_: napi_env, data: *mut c_void, _: *mut c_void) {
        // SAFETY: made by into_raw below; Node finalizes once, after the last JavaScript.
        drop(unsafe { Box::from_raw(data.cast::<Instance>()) });
    }
    if let Ok(Instance { words, .. }) = instance(env) {
        return napi::referenced(env, *words).map(Some);
    }
    let hub = handles::start(env)?;
    // SAFETY: the hub was just made; its words are leaked with the environment.
    let (start, len) = unsafe { (*hub).words() };
    // SAFETY: as above.
    let words = unsafe { napi::external(env, start, len, ()) }?;
    let data = Box::into_raw(Box::new(Instance { hub, words: napi::reference(env, words)? }));
    // SAFETY: env is live, data is given away.
    let status = unsafe { sys::napi_set_instance_data(env, data.cast(), Some(finalize), ptr::null_mut()) };
    napi::check(status, "instance")?;
    Ok(Some(words))
}

/// listen(drain, onEvent): has the hub call these two, too; a number for `stopListening`.
pub fn listen(env: napi_env, [drain, on_event]: [napi_value; 2]) -> Result<Option<napi_value>> {
    let number = hub(env)?.calls.listen(drain, on_event)?;
    napi::integer(env, number.into()).map(Some)
}

/// stopListening(number): the hub keeps these functions no longer.
pub fn stop_listening(env: napi_env, [number]: [napi_value; 1]) -> Result<Option<napi_value>> {
    let number = napi::number(env, number)?;
    hub(env)?.calls.forget(number);
    Ok(None)
}
