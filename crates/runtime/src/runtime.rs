// SPDX-License-Identifier: Apache-2.0
//! The runtime: what host and guest share.

use std::{io, sync::OnceLock};

use polyloop_abi::{STATUS_ERROR, STATUS_OK};
use polyloop_ring::{
    Completion, Counter, Layout, Submission, Taken, Taker, completion, entry,
    layout::RESPONSE_BYTES,
    region::Block,
    slab::{Place, Slabs},
    submission,
    tasks::Tasks,
};

use crate::{
    error::ErrorObject,
    log::{Line, Log},
};

/// Completion status of an error that is the host's own and not the guest's.
const STATUS_HOST_ERROR: u16 = 2;

/// An error object may be so long whatever the limit of payloads: why a call failed is not to be
/// lost because it takes more words than the answer.
const ERROR_BYTES: usize = 1 << 20;

/// What a runtime tells its host outside the rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest is initialised; its manifest in JSON.
    Ready(String),
    /// It failed to start, with this rc.
    Failed(i32, ErrorObject),
    /// It died and takes no more tasks.
    Died(ErrorObject),
    /// It is unloaded and uses the block no more.
    Closed,
}

/// The event loop that a runtime answers to. Both are called from any thread.
pub trait Host: Send + Sync {
    /// Wakes the loop: completions wait and it sleeps.
    fn wake(&self);
    /// Tells it of an event.
    fn event(&self, event: Event);
}

/// Bounds of a runtime.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls in flight, 1 to 65,536.
    pub calls: usize,
    /// Bytes of one response.
    pub payload: usize,
}

/// A task as a guest gets it.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Names it in the answer.
    pub id: u64,
    /// The entry it came in.
    pub submission: Submission,
    /// First byte of the request, valid until the answer, or until the release of a held one.
    pub data: *const u8,
}

/// Counts of what happened across the border.
#[derive(Default)]
pub struct Counters {
    /// Wake-ups of the host's loop.
    pub wakeups: Counter,
    /// Answers to tasks that were answered before, or never taken.
    pub duplicates: Counter,
}

/// One library with one configuration.
pub struct Runtime {
    block: Block,
    tasks: Tasks,
    completer: completion::Completer,
    slabs: Slabs,
    log: Log,
    limits: Limits,
    host: Box<dyn Host>,
    failure: OnceLock<ErrorObject>,
    manifest: OnceLock<String>,
    /// Counts.
    pub counters: Counters,
}

impl Runtime {
    /// A runtime without a guest yet.
    ///
    /// # Errors
    /// Where its block cannot be mapped.
    ///
    /// # Panics
    /// Where `limits.calls` is out of range.
    pub fn new(limits: Limits, host: Box<dyn Host>) -> io::Result<Self> {
        let block = Block::new(Layout::new(limits.calls))?;
        Ok(Self {
            tasks: Tasks::new(block.constants().slots as usize),
            block,
            completer: completion::Completer::default(),
            slabs: Slabs::default(),
            log: Log::default(),
            limits,
            host,
            failure: OnceLock::new(),
            manifest: OnceLock::new(),
            counters: Counters::default(),
        })
    }

    /// The memory that host and guest share.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// The memory of large responses.
    pub fn slabs(&self) -> &Slabs {
        &self.slabs
    }

    /// Takes the next task for a guest thread; `Err` is what it got instead.
    ///
    /// # Errors
    /// [`Taken::Empty`] or [`Taken::Stopped`].
    pub fn take(&self, taker: &mut Taker, wait: bool) -> Result<Task, Taken> {
        loop {
            // STOP 6 take
            let submission = match taker.take(self.block.rings(), wait) {
                Taken::Task(submission) => submission,
                other => return Err(other),
            };
            // A slot that the guest still owes an answer for is not submitted by our hosts.
            if let Some(id) = self.tasks.take(submission.task) {
                let data = match submission.address {
                    0 => self.block.request(submission.task).cast_const(),
                    address => address as *const u8,
                };
                return Ok(Task { id, submission, data });
            }
        }
    }

    /// Answers a task; `data` may be its request. `false`: it was answered before.
    pub fn respond(&self, task: u64, status: u32, flags: u8, data: &[u8]) -> bool {
        let Some(answered) = self.tasks.answer(task) else {
            self.counters.duplicates.add();
            return false;
        };
        // Its death answers all that was in flight: what it says in dying would hide that from some.
        if self.failure.get().is_some() {
            return true;
        }
        let held = if answered.held { entry::FLAG_HELD } else { 0 };
        let head = Completion {
            task: answered.slot,
            kind: entry::RESPONSE,
            flags: flags & (polyloop_abi::FLAG_BYTES | polyloop_abi::FLAG_EMPTY) | held,
            status: if status == STATUS_OK { 0 } else { STATUS_ERROR as u16 },
            ..Completion::default()
        };
        let limit = if head.status == 0 { self.limits.payload } else { self.limits.payload.max(ERROR_BYTES) };
        if data.len() > limit {
            self.refuse(head, "too-large", &self.too_large(data.len()));
        } else if let Err(error) = self.complete(head, data) {
            self.refuse(
                head,
                "overloaded",
                &format!("there is no memory for a response of {} bytes: {error}", data.len()),
            );
        }
        true
    }

    fn too_large(&self, len: usize) -> String {
        let limit = self.limits.payload;
        format!("the response has {len} bytes and maxPayload is {limit}: raise it, or return less at a time")
    }

    /// Answers with an error of our own; it always fits.
    fn refuse(&self, head: Completion, code: &str, message: &str) {
        let head = Completion { status: STATUS_HOST_ERROR, flags: head.flags & entry::FLAG_HELD, ..head };
        // At most RESPONSE_BYTES, which need no memory.
        let _ = self.complete(head, ErrorObject::new(code, message).0.as_bytes());
    }

    /// Copies a payload to where the host reads it and publishes the completion.
    fn complete(&self, head: Completion, data: &[u8]) -> io::Result<()> {
        let place = self.place(head.task, data.len())?;
        // SAFETY: place.start has data.len() bytes that nobody else was given; a request never lies
        // in a response's place.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), place.start, data.len()) };
        if let Some((slab, count)) = place.sealed {
            self.publish(Completion { kind: entry::SEAL, slab, aux: count.into(), ..Completion::default() });
        }
        let own = if place.own { entry::FLAG_OWN } else { 0 };
        // STOP 7 response
        self.publish(Completion {
            flags: head.flags | own,
            length: data.len() as u32,
            slab: place.slab,
            offset: place.offset,
            ..head
        });
        Ok(())
    }

    fn place(&self, slot: u32, len: usize) -> io::Result<Place> {
        if len > RESPONSE_BYTES {
            return self.slabs.place(len);
        }
        Ok(Place { slab: 0, offset: 0, own: false, start: self.block.response(slot), sealed: None })
    }

    fn publish(&self, completion: Completion) {
        // The ring is sized so that answers and what goes with them fit: `Tasks` lets nothing else in.
        if self.completer.push(self.block.rings(), completion).expect("the completion ring cannot fill up") {
            self.counters.wakeups.add();
            self.host.wake();
        }
    }

    /// Keeps a request valid beyond the answer. `false`: too late, or no such task.
    pub fn hold(&self, task: u64) -> bool {
        self.tasks.hold(task)
    }

    /// Gives a held request up.
    pub fn release(&self, task: u64) {
        if let Some(slot) = self.tasks.release(task) {
            self.publish(Completion { task: slot, kind: entry::RELEASE, ..Completion::default() });
        }
    }

    /// Whether the guest still uses memory of a request: then it must outlive the runtime.
    pub fn lends(&self) -> bool {
        self.tasks.in_use()
    }

    /// Keeps what a guest prints for the host's streams.
    pub fn log(&self, stream: u32, text: &[u8]) {
        if !text.is_empty() && self.log.push(stream, text) {
            self.publish(Completion { kind: entry::LOG, ..Completion::default() });
        }
    }

    /// What was printed and not read yet.
    pub fn take_log(&self) -> Vec<Line> {
        self.log.take()
    }

    /// The guest is initialised.
    pub fn ready(&self, manifest: &[u8]) -> bool {
        let text = String::from_utf8_lossy(manifest).into_owned();
        self.manifest.set(text).is_ok()
    }

    /// What the guest declared in [`Runtime::ready`].
    pub(crate) fn manifest(&self) -> Option<&str> {
        self.manifest.get().map(String::as_str)
    }

    /// The guest reports why it cannot start, or that it died.
    pub fn fail(&self, error: &[u8]) {
        let error = ErrorObject::from_guest(error);
        if self.failure.set(error.clone()).is_ok() && self.manifest.get().is_some() {
            self.host.event(Event::Died(error));
        }
    }

    pub(crate) fn failure(&self) -> Option<&ErrorObject> {
        self.failure.get()
    }

    pub(crate) fn event(&self, event: Event) {
        self.host.event(event);
    }

    /// Raises the stop: guest threads leave once the submission ring is empty.
    pub fn stop(&self) {
        submission::stop(self.block.rings().header);
    }

    /// The host's loop has ended: nobody drains any more, and what no guest thread has taken yet is
    /// not begun.
    pub fn abandon(&self) {
        self.stop();
        submission::discard(self.block.rings());
        self.log.close();
    }
}
