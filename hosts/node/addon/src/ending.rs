// SPDX-License-Identifier: Apache-2.0
//! The end of the process while guest threads of it run.
//!
//! `exit` runs the destructors of all libraries, and no thread is stopped before: one that computes goes on under
//! them. A library of threads (`OpenBLAS`, say) then waits in its destructor for workers that the guest keeps busy, for
//! ever; others free what the guest still uses. So if guest threads are at work when the process ends, it ends without
//! destructors: everything else that `exit` does is done here. A program whose guests are idle ends as any other.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak, mpsc},
    thread,
    time::Duration,
};

use napi_sys::{napi_env, napi_value};
use polyloop_connection::Connection;
use polyloop_ring::submission;

use crate::{napi::Result, uv};

/// How long a flush may wait for a stream that another thread keeps locked: one that reads stdin keeps it for ever.
const PATIENCE: Duration = Duration::from_secs(1);

static STATE: Mutex<State> = Mutex::new(State { connections: Vec::new(), changing: 0, process: 0 });

struct State {
    /// Of all environments of the process.
    connections: Vec<Weak<Connection>>,
    /// Starts and ends of guests that are under way.
    changing: usize,
    /// Whose end this is about: a fork has the handler, too, and none of the threads.
    process: u32,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives a thread runs code of a guest's start or end.
pub struct Changing(());

impl Changing {
    /// Of this connection, whose calls count from now on.
    pub fn of(connection: &Arc<Connection>) -> Self {
        let mut state = state();
        state.changing += 1;
        state.process = std::process::id();
        state.connections.retain(|one| one.strong_count() > 0);
        if !state.connections.iter().any(|one| ptr::eq(one.as_ptr(), Arc::as_ptr(connection))) {
            state.connections.push(Arc::downgrade(connection));
        }
        Self(())
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        state().changing -= 1;
    }
}

/// Has the process end as described above. What is registered last runs first, and what guests and their libraries
/// have registered is to come after it: so this is called once a guest has started, and at the end of a thread.
pub fn prepare() {
    unsafe extern "C" {
        fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }
    // SAFETY: the add-on is never unmapped. If there is no memory for it the process ends as it would without.
    unsafe { on_exit(at_exit, ptr::null_mut()) };
}

/// A thread ends, and perhaps the process.
pub fn prepare_if_at_work() {
    if is_at_work() {
        prepare();
    }
}

/// `ending()`: the same, called by JavaScript, because a process that is left by `process.exit` cleans nothing up.
#[expect(clippy::unnecessary_wraps, reason = "the type of all exports")]
pub fn ending(_: napi_env, []: [napi_value; 0]) -> Result<Option<napi_value>> {
    prepare_if_at_work();
    Ok(None)
}

extern "C" fn at_exit(status: c_int, _: *mut c_void) {
    if is_at_work() {
        flush();
        reset_terminal();
        // SAFETY: nothing of the process is used after this.
        unsafe { libc::_exit(status) };
    }
}

/// Whether guest threads of this process run code, as far as the host can know.
fn is_at_work() -> bool {
    let state = match STATE.try_lock() {
        Ok(state) => state,
        Err(TryLockError::Poisoned(state)) => state.into_inner(),
        // A guest starts or ends at this moment.
        Err(TryLockError::WouldBlock) => return true,
    };
    let has_calls = |connection: &Weak<Connection>| {
        connection
            .upgrade()
            .is_some_and(|one| !submission::is_empty(one.block().rings().header) || one.lends())
    };
    state.process == std::process::id() && (state.changing > 0 || state.connections.iter().any(has_calls))
}

/// What is buffered in streams of C is written, as `exit` would after its handlers: on a thread of its own, because it
/// takes the lock of each.
fn flush() {
    let (done, wait) = mpsc::channel();
    let all = move || {
        // SAFETY: null stands for all streams.
        unsafe { libc::fflush(ptr::null_mut()) };
        let _ = done.send(());
    };
    if thread::Builder::new().name("polyloop-exit".into()).spawn(all).is_ok() {
        let _ = wait.recv_timeout(PATIENCE);
    }
}

/// Leaves terminals and pipes as Node.js found them, which it does in a handler of its own, after this one.
fn reset_terminal() {
    const RESET: &CStr = c"_ZN4node10ResetStdioEv";
    // SAFETY: a C string; the function has this type in every Node.js, may be called more than once, and is only
    // called if there is one.
    unsafe {
        let reset = libc::dlsym(libc::RTLD_DEFAULT, RESET.as_ptr().cast::<c_char>());
        if reset.is_null() {
            uv::uv_tty_reset_mode();
        } else {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(reset)();
        }
    }
}
