// SPDX-License-Identifier: Apache-2.0
//! The Python loader: a guest of the C ABI that runs Python modules.
//!
//! The loader links to no libpython. In the host's process, the host passes what `probe.py` said
//! of an interpreter, and the loader opens that interpreter's libpython and initialises it once for
//! the process. In a process of its own, which is a Python that runs `process.py`, the loader
//! takes the interpreter that it finds running. Either way it loads the module and serves its
//! functions: `def` on a pool of threads, `async def` on one asyncio loop a runtime.
//!
//! What is not worth speed is Python, in `guests/python`, and travels inside this library.

mod failure;
mod guest;
mod inbox;
mod json;
mod kit;
mod natives;
mod python;
mod runtime;
mod task;
mod worker;

use failure::Failure;
use guest::{Guest, Options};
use polyloop_abi::{ABI_VERSION, Host, RuntimeHandle, StartInfo};
use runtime::Runtime;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Starts a guest; see [`polyloop_abi::Start`].
///
/// # Safety
/// The arguments are as the ABI says; called on a thread that may block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polyloop_guest_start(
    host: *const Host,
    handle: RuntimeHandle,
    info: *const StartInfo,
    guest: *mut *mut c_void,
) -> i32 {
    // SAFETY: both outlive this call, as the ABI says.
    let (abi, options) = unsafe { ((*host).abi, Options::read(&*info)) };
    // SAFETY: as above.
    let runtime = unsafe { Runtime::new(host, handle) };
    let started = if abi == ABI_VERSION {
        let start = || Guest::start(&runtime, &options);
        catch_unwind(AssertUnwindSafe(start))
            .unwrap_or_else(|_| Err(Failure::new("RuntimeError", "the Python loader panicked: report this")))
    } else {
        let message =
            format!("the host speaks ABI {abi}, this loader {ABI_VERSION}: install one version of both");
        Err(Failure::new("RuntimeError", message))
    };
    match started {
        Ok(started) => {
            // SAFETY: a place to write to.
            unsafe { *guest = Box::into_raw(Box::new(started)).cast() };
            0
        }
        Err(failure) => {
            // Without effect if that was said, and the runtime closed, with Python attached.
            runtime.fail(failure.json.as_bytes());
            failure.rc
        }
    }
}

/// Waits for a guest to end; see [`polyloop_abi::Join`].
///
/// # Safety
/// `guest` is what a successful start wrote; called once, on a thread that may block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polyloop_guest_join(guest: *mut c_void) {
    // SAFETY: made by Box::into_raw in start.
    let guest = unsafe { Box::from_raw(guest.cast::<Guest>()) };
    // There is nothing to be done about a panic: the runtime is not used again either way.
    let _ = catch_unwind(AssertUnwindSafe(|| guest.join()));
}

/// Waits until the guest can run code, see [`polyloop_abi::Beat`]: until this thread had the GIL,
/// and the guest's asyncio loop has had a turn; a loop that does not run, or not any more, is not
/// waited for.
///
/// # Safety
/// `guest` is what a successful start wrote, and its join does not begin before this returns;
/// called on a thread that may block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polyloop_guest_beat(guest: *mut c_void) {
    // SAFETY: made by Box::into_raw in start, and not joined yet.
    let guest = unsafe { &*guest.cast::<Guest>() };
    // A panic is no sign of life, but it is not what the caller asks about either.
    let _ = catch_unwind(AssertUnwindSafe(|| guest.beat()));
}
