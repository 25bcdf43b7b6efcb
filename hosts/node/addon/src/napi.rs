// SPDX-License-Identifier: Apache-2.0
//! Thin helpers over Node-API: arguments in, values out, failures as exceptions.

use std::{cell::Cell, ffi::c_void, io, ptr, rc::Rc};

use napi_sys::{self as sys, napi_callback_info, napi_env, napi_value};

/// What an exported function failed with: thrown as an `Error` in JavaScript.
pub struct Failure {
    message: String,
    /// Its `code`, if it has one.
    code: Option<&'static str>,
}

impl<T: ToString> From<T> for Failure {
    fn from(message: T) -> Self {
        Self { message: message.to_string(), code: None }
    }
}

/// There is no memory for a payload; that there never is JavaScript sees by the code.
pub fn want(error: &io::Error) -> Failure {
    let code = (error.kind() == io::ErrorKind::FileTooLarge).then_some("too-large");
    Failure { message: error.to_string(), code }
}

pub type Result<T> = std::result::Result<T, Failure>;

/// Turns a status into a result.
pub fn check(status: sys::napi_status, what: &str) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(format!("{what}: Node-API status {status}").into())
    }
}

/// Calls a function of Node-API that returns one value.
pub fn value(what: &str, call: impl FnOnce(*mut napi_value) -> sys::napi_status) -> Result<napi_value> {
    let mut out = ptr::null_mut();
    check(call(&raw mut out), what)?;
    Ok(out)
}

/// An exported function with up to `N` arguments.
pub type Export<const N: usize> = fn(napi_env, [napi_value; N]) -> Result<Option<napi_value>>;

/// Runs an export: reads its arguments, throws its failure.
pub fn run<const N: usize>(env: napi_env, info: napi_callback_info, export: Export<N>) -> napi_value {
    let mut arguments = [ptr::null_mut(); N];
    let mut count = N;
    // SAFETY: called by Node with its own env and info; the array has room for `count` values.
    let status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    match check(status, "arguments").and_then(|()| export(env, arguments)) {
        Ok(value) => value.unwrap_or(ptr::null_mut()),
        Err(failure) => {
            throw(env, &failure);
            ptr::null_mut()
        }
    }
}

fn throw(env: napi_env, Failure { message, code }: &Failure) {
    let Ok(text) = string(env, message) else { return };
    let code = code.and_then(|code| string(env, code).ok()).unwrap_or(ptr::null_mut());
    let error = value("error", |out| {
        // SAFETY: env is live, text a string, code one or nothing.
        unsafe { sys::napi_create_error(env, code, text, out) }
    });
    if let Ok(error) = error {
        // SAFETY: env is live, error a value of this scope. If that fails, an exception is pending
        // already.
        unsafe { sys::napi_throw(env, error) };
    }
}

/// A number as u32.
pub fn number(env: napi_env, from: napi_value) -> Result<u32> {
    let mut out = 0;
    // SAFETY: env and value belong to the running callback.
    check(unsafe { sys::napi_get_value_uint32(env, from, &raw mut out) }, "a number")?;
    Ok(out)
}

/// A string's UTF-8.
pub fn text(env: napi_env, from: napi_value) -> Result<String> {
    let mut len = 0;
    // SAFETY: as in number; a null buffer asks for the length.
    let status = unsafe { sys::napi_get_value_string_utf8(env, from, ptr::null_mut(), 0, &raw mut len) };
    check(status, "a string")?;
    let mut bytes = vec![0u8; len + 1];
    // SAFETY: the buffer has room for len bytes and the terminator.
    let status = unsafe {
        sys::napi_get_value_string_utf8(env, from, bytes.as_mut_ptr().cast(), len + 1, &raw mut len)
    };
    check(status, "a string")?;
    bytes.truncate(len);
    Ok(String::from_utf8(bytes)?)
}

/// A string for JavaScript.
pub fn string(env: napi_env, text: &str) -> Result<napi_value> {
    value("a string", |out| {
        // SAFETY: the text is valid for the call, which copies it.
        unsafe { sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len().cast_signed(), out) }
    })
}

/// An integer for JavaScript.
pub fn integer(env: napi_env, number: i64) -> Result<napi_value> {
    // SAFETY: env is live.
    value("a number", |out| unsafe { sys::napi_create_int64(env, number, out) })
}

/// An array of two.
pub fn pair(env: napi_env, first: napi_value, second: napi_value) -> Result<napi_value> {
    // SAFETY: env and values are live.
    let array = value("an array", |out| unsafe { sys::napi_create_array_with_length(env, 2, out) })?;
    for (index, element) in [first, second].into_iter().enumerate() {
        // SAFETY: as above.
        check(unsafe { sys::napi_set_element(env, array, index as u32, element) }, "an element")?;
    }
    Ok(array)
}

/// A strong reference to a value.
pub fn reference(env: napi_env, to: napi_value) -> Result<sys::napi_ref> {
    let mut out = ptr::null_mut();
    // SAFETY: env and value are live.
    check(unsafe { sys::napi_create_reference(env, to, 1, &raw mut out) }, "a reference")?;
    Ok(out)
}

/// What a reference refers to.
pub fn referenced(env: napi_env, reference: sys::napi_ref) -> Result<napi_value> {
    // SAFETY: the reference is strong and of this env.
    value("a reference", |out| unsafe { sys::napi_get_reference_value(env, reference, out) })
}

/// An `ArrayBuffer` over memory of ours. `owner` is dropped on the environment's thread when the
/// last view of it, or of what its memory was transferred to, is gone; at once if there is to be none.
///
/// # Safety
/// `start` points to `len` bytes that live as long as `owner`.
pub unsafe fn external<T>(env: napi_env, start: *mut u8, len: usize, owner: T) -> Result<napi_value> {
    unsafe extern "C" fn release<T>(_: napi_env, _: *mut c_void, owner: *mut c_void) {
        // SAFETY: made by into_raw below, and Node finalizes once.
        drop(unsafe { Rc::from_raw(owner.cast::<Cell<Option<T>>>()) }.take());
    }
    let owner = Rc::new(Cell::new(Some(owner)));
    let hint = Rc::into_raw(Rc::clone(&owner)).cast_mut();
    let made = value("an external ArrayBuffer (does this Node.js forbid them?)", |out| {
        // SAFETY: promised by the caller.
        unsafe {
            sys::napi_create_external_arraybuffer(
                env,
                start.cast(),
                len,
                Some(release::<T>),
                hint.cast(),
                out,
            )
        }
    });
    if made.is_err() {
        // The environment may be about to end. Whether it finalizes what was not made depends on how far that
        // got, so the cell stays for it; no JavaScript has the memory.
        drop(owner.take());
    }
    made
}

/// Opens a handle scope for work that Node did not call us for.
pub fn scoped(env: napi_env, work: impl FnOnce()) {
    let mut scope = ptr::null_mut();
    // SAFETY: on the environment's thread; closed below in order.
    if unsafe { sys::napi_open_handle_scope(env, &raw mut scope) } == sys::Status::napi_ok {
        work();
        // SAFETY: opened above.
        unsafe { sys::napi_close_handle_scope(env, scope) };
    }
}
