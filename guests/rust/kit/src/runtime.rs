// SPDX-License-Identifier: Apache-2.0
//! The host as one runtime of this library sees it, and who still uses it.

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use polyloop_abi::{
    Bytes, Host, Item, RESPOND_FORK, RuntimeHandle, STREAM_DONE, TAKE_STOPPED, TAKE_TASK, Task, Watcher,
};

use crate::values::codec::Codec;

/// What async functions run on.
#[cfg(feature = "tokio")]
pub type Handle = tokio::runtime::Handle;
/// There is none.
#[cfg(not(feature = "tokio"))]
pub type Handle = std::convert::Infallible;

/// How long `join` waits for users before it says on the host's stderr what it waits for.
const PATIENCE: Duration = Duration::from_secs(2);

/// One configuration of the library, loaded by a host.
pub struct Runtime {
    host: Host,
    handle: RuntimeHandle,
    /// How payloads are encoded.
    pub codec: Codec,
    /// Where async functions run, if the guest has any.
    pub executor: OnceLock<Handle>,
    uses: Mutex<Uses>,
    changed: Condvar,
}

// SAFETY: the host says that each of its functions may be called with the handle from any thread;
// nothing else in here is tied to a thread.
unsafe impl Send for Runtime {}
// SAFETY: as above.
unsafe impl Sync for Runtime {}

#[derive(Default)]
struct Uses {
    calls: usize,
    others: usize,
    closed: bool,
}

/// Why a lease was taken: `join` waits for calls before it stops the executor, for the others
/// after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// An async call in flight.
    Call,
    /// Memory kept by [`crate::Bytes`], an [`crate::Input`], or a line on its way to the host.
    Other,
}

/// Permission to use a runtime away from its polling threads: `join` waits for it.
pub struct Lease {
    runtime: Arc<Runtime>,
    purpose: Use,
}

thread_local! {
    /// The runtime that this thread works for.
    static CURRENT: RefCell<Weak<Runtime>> = const { RefCell::new(Weak::new()) };
}

/// All runtimes of this library, for threads that no runtime knows (the guest's own).
static RUNTIMES: Mutex<Vec<Weak<Runtime>>> = Mutex::new(Vec::new());

/// A lock that a panic of the guest's does not break.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime {
    /// # Safety
    /// `host` and `handle` are what the host gave to `start`.
    pub unsafe fn new(host: *const Host, handle: RuntimeHandle, codec: Codec) -> Arc<Self> {
        // SAFETY: the caller's word; a Host is plain data, of which a copy is as good as the
        // original.
        let host = unsafe { host.read() };
        let (uses, changed) = (Mutex::new(Uses::default()), Condvar::new());
        let runtime = Arc::new(Self { host, handle, codec, executor: OnceLock::new(), uses, changed });
        lock(&RUNTIMES).push(Arc::downgrade(&runtime));
        runtime
    }

    /// Writes the next task to `task`; false once the runtime is unloaded.
    ///
    /// By reference: a processor that is to copy a task in other pieces than it was just written in
    /// waits for that.
    pub fn take(&self, task: &mut MaybeUninit<Task>) -> bool {
        loop {
            // SAFETY: the handle is in use until `join` has seen the polling threads end.
            match unsafe { (self.host.take)(self.handle, task.as_mut_ptr(), 1) } {
                TAKE_TASK => return true,
                TAKE_STOPPED => return false,
                _ => {}
            }
        }
    }

    /// Answers a task; `data` is copied. `false`: this process is a fork, whose answers count for nothing.
    pub fn respond(&self, task: u64, status: u32, flags: u8, data: &[u8]) -> bool {
        // SAFETY: the runtime is in use by the caller's call; `data` lives until this returns.
        let rc = unsafe {
            (self.host.respond)(self.handle, task, status, u32::from(flags), data.as_ptr(), data.len())
        };
        rc != RESPOND_FORK
    }

    /// Keeps the payload of a task that is not answered yet.
    pub fn hold(&self, task: u64) {
        // SAFETY: as in `respond`.
        unsafe { (self.host.hold)(self.handle, task) };
    }

    /// Gives up a payload that was kept by `hold`.
    pub fn release(&self, task: u64) {
        // SAFETY: as in `respond`.
        unsafe { (self.host.release)(self.handle, task) };
    }

    /// The next item of a task's request stream, or the `STREAM_*` that says why there is none.
    pub fn receive(&self, task: u64, wait: bool) -> Result<Item, i32> {
        let mut item = MaybeUninit::<Item>::uninit();
        // SAFETY: as in `respond`.
        match unsafe { (self.host.receive)(self.handle, task, item.as_mut_ptr(), u32::from(wait)) } {
            // SAFETY: STREAM_DONE says that the item was written.
            STREAM_DONE => Ok(unsafe { item.assume_init() }),
            other => Err(other),
        }
    }

    /// Sends an item of a task's response stream; `data` is copied: `STREAM_*`.
    pub fn send(&self, task: u64, flags: u8, data: &[u8], wait: bool) -> i32 {
        let (flags, wait) = (u32::from(flags), u32::from(wait));
        // SAFETY: as in `respond`.
        unsafe { (self.host.send)(self.handle, task, flags, data.as_ptr(), data.len(), wait) }
    }

    /// Has `watcher` told of a task's events.
    ///
    /// # Safety
    /// `watcher` may be called with `context`, on any thread, until the task is answered.
    pub unsafe fn watch(&self, task: u64, watcher: Watcher, context: *mut c_void) {
        // SAFETY: as in `respond`; the rest is the caller's word.
        unsafe { (self.host.watch)(self.handle, task, Some(watcher), context) };
    }

    /// Whether the caller has given a task up.
    pub fn cancelled(&self, task: u64) -> bool {
        // SAFETY: as in `respond`.
        unsafe { (self.host.cancelled)(self.handle, task) == 1 }
    }

    /// Sets the context that goes back with a task's answer; false if the host does not take it.
    pub fn annotate(&self, task: u64, context: &[u8]) -> bool {
        // SAFETY: as in `respond`.
        unsafe { (self.host.annotate)(self.handle, task, borrowed(context)) == 0 }
    }

    /// Declares the guest initialised.
    pub fn ready(&self, manifest: &[u8]) {
        // SAFETY: called in `start`, before which no one gives the handle up.
        unsafe { (self.host.ready)(self.handle, borrowed(manifest)) };
    }

    /// Says why the start fails.
    pub fn fail(&self, error: &[u8]) {
        // SAFETY: as in `ready`.
        unsafe { (self.host.fail)(self.handle, borrowed(error)) };
    }

    /// Hands whole lines to the host.
    pub fn log(&self, stream: u32, text: &str) {
        // SAFETY: as in `respond`.
        unsafe { (self.host.log)(self.handle, stream, borrowed(text.as_bytes())) };
    }

    /// Leases the runtime; `None` once it is closed.
    pub fn lease(self: &Arc<Self>, purpose: Use) -> Option<Lease> {
        let mut uses = lock(&self.uses);
        if uses.closed {
            return None;
        }
        *uses.count(purpose) += 1;
        Some(Lease { runtime: Arc::clone(self), purpose })
    }

    /// Blocks until no lease of this purpose is left.
    pub fn wait_for(&self, purpose: Use) {
        drop(self.without(purpose));
    }

    /// Blocks until nobody uses the runtime; from then on nobody can.
    pub fn close(&self) {
        self.without(Use::Other).closed = true;
        lock(&RUNTIMES).retain(|one| !std::ptr::eq(one.as_ptr(), self));
    }

    fn without(&self, purpose: Use) -> MutexGuard<'_, Uses> {
        let mut uses = lock(&self.uses);
        let mut told = false;
        while *uses.count(purpose) > 0 {
            let waited = self.changed.wait_timeout(uses, PATIENCE);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            uses = guard;
            if timeout.timed_out() && purpose == Use::Other && !told && uses.others > 0 {
                let count = uses.others;
                drop(uses);
                self.log(
                    2,
                    &format!(
                        "polyloop: the unload waits for {count} polyloop::Bytes or Input to be dropped\n"
                    ),
                );
                uses = lock(&self.uses);
                told = true;
            }
        }
        uses
    }

    /// Makes this the runtime of the calling thread.
    pub fn adopt_thread(this: &Weak<Self>) {
        CURRENT.with(|current| current.replace(Weak::clone(this)));
    }
}

impl Uses {
    fn count(&mut self, purpose: Use) -> &mut usize {
        match purpose {
            Use::Call => &mut self.calls,
            Use::Other => &mut self.others,
        }
    }
}

impl Lease {
    /// The runtime that the calling thread works for, or the latest of this library for other
    /// threads.
    pub fn current() -> Option<Self> {
        let own = CURRENT.try_with(|current| current.borrow().upgrade()).ok().flatten();
        let runtime = own.or_else(|| lock(&RUNTIMES).iter().rev().find_map(Weak::upgrade))?;
        runtime.lease(Use::Other)
    }

    /// The runtime.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut uses = lock(&self.runtime.uses);
        let count = uses.count(self.purpose);
        *count -= 1;
        if *count == 0 {
            self.runtime.changed.notify_all();
        }
    }
}

fn borrowed(data: &[u8]) -> Bytes {
    Bytes { data: data.as_ptr(), len: data.len() }
}
