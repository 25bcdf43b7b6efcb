// SPDX-License-Identifier: Apache-2.0
//! From the loop into JavaScript.

use std::ptr;

use napi_sys::{self as sys, napi_env, napi_value};

use crate::napi::{self, Result};

/// The way into JavaScript.
#[derive(Clone, Copy)]
pub struct Calls {
    pub env: napi_env,
    context: sys::napi_async_context,
    drain: sys::napi_ref,
    on_event: sys::napi_ref,
}

impl Calls {
    /// Keeps the two functions of an environment.
    pub fn new(env: napi_env, drain: napi_value, on_event: napi_value) -> Result<Self> {
        Ok(Self {
            env,
            context: context(env)?,
            drain: napi::reference(env, drain)?,
            on_event: napi::reference(env, on_event)?,
        })
    }

    /// Calls `drain`.
    pub fn drain(self) {
        self.call(self.drain, |_| Ok([]));
    }

    /// Calls `onEvent`.
    pub fn event(self, id: u32, kind: &str, rc: i32, payload: &str) {
        self.call(self.on_event, |env| {
            Ok([
                napi::integer(env, id.into())?,
                napi::string(env, kind)?,
                napi::integer(env, rc.into())?,
                napi::string(env, payload)?,
            ])
        });
    }

    /// Calls a function of JavaScript from the loop; promise reactions run before that returns.
    fn call<const N: usize>(
        self,
        function: sys::napi_ref,
        arguments: impl FnOnce(napi_env) -> Result<[napi_value; N]>,
    ) {
        let Self { env, context, .. } = self;
        napi::scoped(env, || {
            let called = arguments(env).and_then(|arguments| {
                let function = napi::referenced(env, function)?;
                let this = napi::value("global", |out| {
                    // SAFETY: env is live.
                    unsafe { sys::napi_get_global(env, out) }
                })?;
                // SAFETY: on the environment's thread in a scope of our own; all values are of this
                // scope.
                let status = unsafe {
                    sys::napi_make_callback(
                        env,
                        context,
                        this,
                        function,
                        N,
                        arguments.as_ptr(),
                        ptr::null_mut(),
                    )
                };
                napi::check(status, "callback")
            });
            if called.is_err() {
                raise(env);
            }
        });
    }
}

/// Passes an exception of a callback on as an uncaught one. If the environment is ending, none is
/// pending, and nothing can be run.
fn raise(env: napi_env) {
    let mut pending = false;
    // SAFETY: env is live.
    unsafe {
        if sys::napi_is_exception_pending(env, &raw mut pending) == sys::Status::napi_ok && pending {
            let mut error = ptr::null_mut();
            sys::napi_get_and_clear_last_exception(env, &raw mut error);
            sys::napi_fatal_exception(env, error);
        }
    }
}

fn context(env: napi_env) -> Result<sys::napi_async_context> {
    let name = napi::string(env, "polyloop")?;
    let mut out = ptr::null_mut();
    // SAFETY: env is live; no resource object is asked for.
    napi::check(unsafe { sys::napi_async_init(env, ptr::null_mut(), name, &raw mut out) }, "async context")?;
    Ok(out)
}
