// SPDX-License-Identifier: Apache-2.0
//! From the loop into JavaScript.

use std::ptr;

use napi_sys::{self as sys, napi_env, napi_value};

use crate::napi::{self, Result};

/// The way into JavaScript, to everyone who listens: the host's modules may be there more than once in one environment
/// (a test runner evaluates them again, say), and each has instances of its own.
#[derive(Clone, Copy)]
pub struct Calls {
    pub env: napi_env,
    context: sys::napi_async_context,
    /// By number. It only grows, so that nobody is left out if one goes while the others are called.
    listeners: *mut Vec<Option<Listener>>,
}

/// Functions of JavaScript.
#[derive(Clone, Copy)]
struct Listener {
    drain: sys::napi_ref,
    on_event: sys::napi_ref,
}

impl Calls {
    /// Of an environment; nobody listens yet.
    pub fn new(env: napi_env) -> Result<Self> {
        Ok(Self { env, context: context(env)?, listeners: Box::into_raw(Box::default()) })
    }

    /// Keeps two functions, until `forget` of the number that they get.
    pub fn listen(self, drain: napi_value, on_event: napi_value) -> Result<u32> {
        let Self { env, .. } = self;
        let new = Listener { drain: napi::reference(env, drain)?, on_event: napi::reference(env, on_event)? };
        Ok(self.with_listeners(|all| {
            let free = all.iter().position(Option::is_none).unwrap_or_else(|| {
                all.push(None);
                all.len() - 1
            });
            all[free] = Some(new);
            free as u32
        }))
    }

    /// Calls the functions of this number no more.
    pub fn forget(self, number: u32) {
        let gone = self.with_listeners(|all| all.get_mut(number as usize).and_then(Option::take));
        for reference in gone.into_iter().flat_map(|one| [one.drain, one.on_event]) {
            // SAFETY: a reference of this environment, on its thread; nothing has it any more.
            unsafe { sys::napi_delete_reference(self.env, reference) };
        }
    }

    /// Calls `drain`.
    pub fn drain(self) {
        self.each(|one| self.call(one.drain, |_| Ok([])));
    }

    /// Calls `onEvent`. Who does not know the id has nothing to do with it.
    pub fn event(self, id: u32, kind: &str, rc: i32, payload: &str) {
        self.each(|one| {
            self.call(one.on_event, |env| {
                Ok([
                    napi::integer(env, id.into())?,
                    napi::string(env, kind)?,
                    napi::integer(env, rc.into())?,
                    napi::string(env, payload)?,
                ])
            });
        });
    }

    /// Calls each listener; meanwhile they may come and go.
    fn each(self, call: impl Fn(Listener)) {
        let mut index = 0;
        while let Some(place) = self.with_listeners(|all| all.get(index).copied()) {
            if let Some(listener) = place {
                call(listener);
            }
            index += 1;
        }
    }

    fn with_listeners<T>(self, work: impl FnOnce(&mut Vec<Option<Listener>>) -> T) -> T {
        // SAFETY: the list lives as long as the hub, on whose thread this is, and `work` calls no JavaScript, which
        // might come back here.
        work(unsafe { &mut *self.listeners })
    }

    /// Frees the list.
    ///
    /// # Safety
    /// No copy of this is used any more.
    pub unsafe fn free(self) {
        // SAFETY: made by into_raw in `new`; promised by the caller.
        drop(unsafe { Box::from_raw(self.listeners) });
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
