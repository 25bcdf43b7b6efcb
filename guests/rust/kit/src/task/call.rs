// SPDX-License-Identifier: Apache-2.0
//! One task in the guest's hands: its arguments, and its answer, which is given exactly once.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use polyloop_abi::{
    FLAG_EMPTY, FLAG_OUTPUT, STATUS_ERROR, STATUS_OK, STREAM_CANCELLED, STREAM_DONE, STREAM_WAIT, Task,
};
use serde::Serialize;

use crate::error::Failure;
use crate::runtime::{Lease, Runtime, Use};
use crate::signature::Signature;
use crate::task::watch::Watch;
use crate::values::arguments::{self, Parameters};
use crate::values::bytes::{Loan, Source};

/// A call in flight. A call that is dropped without an answer is answered with an error.
///
/// The request lives until the answer: who answers holds no reference into the request that is used
/// afterwards. The generated code sees to that: its results are encoded and dropped first, and what
/// functions borrow is owned by the generated code or is plain bytes.
pub struct Call<'a> {
    runtime: RuntimeRef<'a>,
    task: Task,
    signature: &'static Signature,
    answered: AtomicBool,
    loan: Loan,
    /// Made for calls that need more than a request and an answer. Apart, because this struct is
    /// moved, and quick calls notice when it is larger than 128 bytes.
    watch: OnceLock<Arc<Watch>>,
}

/// A sync call lives on its polling thread, which keeps the runtime; an async call keeps it itself.
enum RuntimeRef<'a> {
    Thread(&'a Arc<Runtime>),
    Leased(Lease),
}

impl Deref for RuntimeRef<'_> {
    type Target = Arc<Runtime>;
    fn deref(&self) -> &Arc<Runtime> {
        match self {
            Self::Thread(runtime) => runtime,
            Self::Leased(lease) => lease.runtime(),
        }
    }
}

// SAFETY: the payload is memory of the host that any thread may read; the rest is Send by itself.
unsafe impl Send for Call<'_> {}
// SAFETY: as above; the flag is atomic.
unsafe impl Sync for Call<'_> {}

impl<'a> Call<'a> {
    /// Takes charge of a task of `runtime`.
    ///
    /// # Safety
    /// `take` gave out the task, and this is the only call made of it.
    pub unsafe fn new(runtime: &'a Arc<Runtime>, task: &Task, signature: &'static Signature) -> Self {
        Self::within(RuntimeRef::Thread(runtime), task, signature)
    }

    fn within(runtime: RuntimeRef<'a>, task: &Task, signature: &'static Signature) -> Self {
        let (answered, loan) = (AtomicBool::new(false), Loan::new(task.id));
        Self { runtime, task: *task, signature, answered, loan, watch: OnceLock::new() }
    }

    /// The same call, free of its polling thread. `None`, and an error for the caller, if the
    /// runtime closes.
    pub fn leased(self) -> Option<Call<'static>> {
        let lease = self.runtime.lease(Use::Call)?;
        self.answered.store(true, Ordering::Relaxed);
        Some(Call::within(RuntimeRef::Leased(lease), &self.task, self.signature))
    }

    /// What its function is called with.
    pub fn signature(&self) -> &'static Signature {
        self.signature
    }

    /// Leases the runtime for what the call leaves behind.
    ///
    /// # Errors
    /// `unanswered`, if the runtime closes.
    pub fn lease(&self) -> Result<Lease, Failure> {
        self.runtime.lease(Use::Other).ok_or_else(|| Failure::unanswered(self.signature))
    }

    /// The runtime that the call came through.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Decodes the arguments.
    ///
    /// # Errors
    /// `invalid-argument`, which says what the function takes.
    pub fn arguments<'s, P: Parameters<'s>>(&'s self, parameters: P) -> Result<P::Values, Failure> {
        let misfit = |what| Failure::invalid_argument(format!("{}: {what}", self.signature));
        self.signature.fits(self.task.flags).map_err(misfit)?;
        let payload = (self.runtime.codec, self.task.flags, self.payload());
        arguments::decode(payload, self.signature, parameters)
    }

    /// Lets arguments keep parts of the request.
    pub fn source(&self) -> Source<'_> {
        Source::of(&self.loan)
    }

    /// Answers with an encoded result.
    ///
    /// # Errors
    /// If the caller wants a stream, and its only item cannot be sent.
    pub fn answer(&self, flags: u8, data: &[u8]) -> Result<(), Failure> {
        if !self.goes_as_item(flags) {
            self.respond(STATUS_OK, flags, data);
            return Ok(());
        }
        self.send(flags, data, true)?;
        self.end();
        Ok(())
    }

    /// Whether a result is the only item of a stream, because the caller takes one.
    pub fn goes_as_item(&self, flags: u8) -> bool {
        self.task.flags & FLAG_OUTPUT != 0 && flags & FLAG_EMPTY == 0
    }

    /// Sends an item of the response stream: false if there is no credit and the call is not to
    /// `wait` for it.
    ///
    /// # Errors
    /// `cancelled`, and `too-large`.
    pub fn send(&self, flags: u8, data: &[u8], wait: bool) -> Result<bool, Failure> {
        match self.runtime.send(self.task.id, flags, data, wait) {
            STREAM_DONE => Ok(true),
            STREAM_WAIT => Ok(false),
            STREAM_CANCELLED => Err(self.given_up()),
            _ => Err(Failure::item_refused(self.signature, data.len())),
        }
    }

    /// Answers after the last item. Without effect if the answer was given.
    pub fn end(&self) {
        self.respond(STATUS_OK, FLAG_EMPTY, &[]);
    }

    /// Encodes a value for this call's host, and drops it.
    ///
    /// # Errors
    /// If the codec cannot carry the value.
    pub fn encoded<T: Serialize, R>(&self, value: T, then: impl FnOnce(&[u8]) -> R) -> Result<R, Failure> {
        let codec = self.runtime.codec;
        let done = crate::values::codec::encoded(codec, value, then);
        done.map_err(|what| Failure::invalid_result(self.signature, codec.name(), &what))
    }

    /// What the call's waiters share.
    pub fn watch(&self) -> &Arc<Watch> {
        self.watch.get_or_init(|| Watch::new(self.task.id))
    }

    /// What the call's waiters share, if anything needed that yet.
    pub fn watched(&self) -> Option<&Arc<Watch>> {
        self.watch.get()
    }

    /// Whether the caller has given the call up.
    pub fn is_cancelled(&self) -> bool {
        self.runtime.cancelled(self.task.id)
    }

    /// The error of a call that was given up.
    pub fn given_up(&self) -> Failure {
        Failure::cancelled(self.signature)
    }

    /// Whether the answer was given: neither the request nor the context is there any more.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// When the caller stops waiting, or 0.
    pub fn deadline_ns(&self) -> u64 {
        self.task.deadline_ns
    }

    /// The context of the call, in JSON.
    pub fn context(&self) -> &[u8] {
        // SAFETY: the host keeps the context until `respond`; `current::with` asks no later.
        unsafe { memory(self.task.context, self.task.context_len) }
    }

    /// Adds to the context that goes back; false if the host does not take the addition.
    pub fn annotate(&self, key: String, value: String) -> bool {
        let mut notes = self.watch().notes();
        let old = notes.insert(key.clone(), value);
        let taken = serde_json::to_vec(&*notes).is_ok_and(|json| self.runtime.annotate(self.task.id, &json));
        if !taken {
            // What the host has is what was told before.
            match old {
                Some(old) => notes.insert(key, old),
                None => notes.remove(&key),
            };
        }
        taken
    }

    /// Ends the call: an outcome that is an error, or a panic, becomes the answer.
    pub fn settle(&self, outcome: Result<Result<(), Failure>, Failure>) {
        if let Ok(Err(failure)) | Err(failure) = outcome {
            self.fail(&failure);
        }
    }

    fn fail(&self, failure: &Failure) {
        self.respond(STATUS_ERROR, 0, &failure.to_json());
    }

    fn payload(&self) -> &[u8] {
        // SAFETY: the host keeps the request until `respond`; see the type for what is after.
        unsafe { memory(self.task.data, self.task.len) }
    }

    fn respond(&self, status: u32, flags: u8, data: &[u8]) {
        // No swap: a call is answered by the one thread that runs it, and a locked instruction
        // costs.
        if self.is_answered() {
            return;
        }
        self.answered.store(true, Ordering::Relaxed);
        if let Some(watch) = self.watch.get() {
            watch.close();
        }
        self.loan.settle(&self.runtime);
        let is_fork = !self.runtime.respond(self.task.id, status, flags, data);
        if is_fork && matches!(self.runtime, RuntimeRef::Leased(_)) {
            leave();
        }
    }
}

/// Ends the child of a fork that an async function has made, and that has answered: its thread takes no task, where the
/// host would end it.
fn leave() -> ! {
    unsafe extern "C" {
        fn _exit(status: i32) -> !;
    }
    // SAFETY: nothing of the process is used after this.
    unsafe { _exit(0) }
}

/// # Safety
/// `len` bytes at `data` are valid for `'a`, or `len` is 0.
unsafe fn memory<'a>(data: *const u8, len: u64) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { std::slice::from_raw_parts(data, len as usize) }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !*self.answered.get_mut() {
            self.fail(&Failure::unanswered(self.signature));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_moved_without_a_call_of_memcpy() {
        assert!(size_of::<Call<'_>>() <= 128, "{}", size_of::<Call<'_>>());
    }
}
