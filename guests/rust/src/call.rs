// SPDX-License-Identifier: Apache-2.0
//! One task in the guest's hands: its arguments, and its answer, which is given exactly once.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use polyloop_abi::{FLAG_BYTES, FLAG_EMPTY, STATUS_ERROR, STATUS_OK, Task};
use serde::Serialize;

use crate::arguments::{self, Parameters};
use crate::bytes::{Bytes, Held};
use crate::error::Failure;
use crate::guest::Method;
use crate::panics;
use crate::runtime::{Lease, Runtime, Use};

/// A call in flight. A call that is dropped without an answer is answered with an error.
///
/// The request lives until the answer: who answers holds no reference into the request that is used afterwards.
/// The generated code sees to that: its results are encoded and dropped first, and what functions borrow is
/// owned by the generated code or is plain bytes.
pub struct Call<'a> {
    seat: Seat<'a>,
    task: Task,
    method: &'static Method,
    answered: AtomicBool,
    held: OnceLock<Arc<Held>>,
}

/// A sync call lives on its polling thread, which keeps the runtime; an async call keeps it itself.
enum Seat<'a> {
    Thread(&'a Arc<Runtime>),
    Leased(Lease),
}

impl Deref for Seat<'_> {
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

/// Where borrowed bytes come from, for types that keep them beyond the call.
#[derive(Clone, Copy)]
pub struct Source<'a>(Option<&'a Call<'a>>);

impl<'a> Source<'a> {
    /// Bytes that belong to no task.
    pub const NOWHERE: Self = Self(None);

    /// The part `data` of the request, kept for as long as the result lives.
    pub fn share(self, data: &'a [u8]) -> Bytes {
        match self.0 {
            Some(call) => Bytes::held(data, call.held.get_or_init(|| Arc::new(Held::new(call.task.id)))),
            None => Bytes::from(data),
        }
    }
}

impl<'a> Call<'a> {
    /// Takes charge of a task of `runtime`.
    ///
    /// # Safety
    /// `take` gave out the task, and this is the only call made of it.
    pub unsafe fn new(runtime: &'a Arc<Runtime>, task: Task, method: &'static Method) -> Self {
        let (answered, held) = (AtomicBool::new(false), OnceLock::new());
        Self { seat: Seat::Thread(runtime), task, method, answered, held }
    }

    /// The same call, free of its polling thread. `None` and an error for the caller where the runtime closes.
    pub fn leased(self) -> Option<Call<'static>> {
        let lease = self.seat.lease(Use::Call)?;
        self.answered.store(true, Ordering::Relaxed);
        let (answered, held) = (AtomicBool::new(false), OnceLock::new());
        Some(Call { seat: Seat::Leased(lease), task: self.task, method: self.method, answered, held })
    }

    /// The runtime that the call came through.
    pub fn runtime(&self) -> &Runtime {
        &self.seat
    }

    /// Decodes the arguments.
    ///
    /// # Errors
    /// `invalid-argument`, which says what the function takes.
    pub fn arguments<'s, P: Parameters<'s>>(&'s self, parameters: P) -> Result<P::Values, Failure> {
        let payload = (self.seat.codec, self.task.flags, self.payload());
        arguments::decode(payload, &self.method.signature, parameters)
    }

    /// Lets arguments keep parts of the request.
    pub fn source(&self) -> Source<'_> {
        Source(Some(self))
    }

    /// Answers with bytes, or with nothing.
    pub fn answer_bytes(&self, data: Option<&[u8]>) {
        match data {
            Some(data) => self.respond(STATUS_OK, FLAG_BYTES, data),
            None => self.respond(STATUS_OK, FLAG_EMPTY, &[]),
        }
    }

    /// Answers with an encoded value.
    ///
    /// # Errors
    /// Where the codec cannot carry the value.
    pub fn answer_value<T: Serialize>(&self, value: T) -> Result<(), Failure> {
        let codec = self.seat.codec;
        let done = crate::codec::encoded(codec, value, |data| self.respond(STATUS_OK, 0, data));
        done.map_err(|what| Failure::invalid_result(&self.method.signature, codec.name(), &what))
    }

    /// Ends the call: an outcome that is an error, or a panic, becomes the answer.
    pub fn settle(self, outcome: Result<Result<(), Failure>, Failure>) {
        if let Ok(Err(failure)) | Err(failure) = outcome {
            self.fail(&failure);
        }
    }

    fn fail(&self, failure: &Failure) {
        self.respond(STATUS_ERROR, 0, &failure.to_json());
    }

    fn payload(&self) -> &[u8] {
        if self.task.len == 0 {
            return &[];
        }
        // SAFETY: the host keeps `len` bytes at `data` until `respond`; see the type for what is after.
        unsafe { std::slice::from_raw_parts(self.task.data, self.task.len as usize) }
    }

    fn respond(&self, status: u32, flags: u8, data: &[u8]) {
        // No swap: a call is answered by the one thread that runs it, and a locked instruction costs.
        if self.answered.load(Ordering::Relaxed) {
            return;
        }
        self.answered.store(true, Ordering::Relaxed);
        if let Some(held) = self.held.get() {
            Held::keep_if_shared(held, &self.seat);
        }
        self.seat.respond(self.task.id, status, flags, data);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !*self.answered.get_mut() {
            self.fail(&Failure::unanswered(&self.method.signature));
        }
    }
}

/// Runs a sync function's body on the calling thread.
pub fn run(call: Call<'_>, body: impl FnOnce(&Call<'_>) -> Result<(), Failure>) {
    let outcome = panics::catch(|| body(&call));
    call.settle(outcome);
}
