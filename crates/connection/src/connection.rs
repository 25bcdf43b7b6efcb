// SPDX-License-Identifier: Apache-2.0
//! The connection: what one host and one guest share.

mod response;

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use polyloop_ring::{
    Completion, Layout, Submission, Taken, Taker, completion, control, entry,
    region::{Block, Mapping},
    slab::Slabs,
    submission,
    tasks::Tasks,
};

use crate::{
    error::ErrorObject,
    log::{Line, Log},
    streams::Streams,
};

/// What a connection tells its host outside the rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest is initialised; its manifest in JSON.
    Ready(String),
    /// The guest failed to start, with this rc.
    Failed(i32, ErrorObject),
    /// The guest died and takes no more tasks.
    Died(ErrorObject),
    /// The guest is unloaded and uses the block no more.
    Closed,
}

/// The event loop that a connection answers to. Both are called from any thread.
pub trait Host: Send + Sync {
    /// Wakes the loop, which sleeps while completions wait.
    fn wake(&self);
    /// Tells the loop of an event.
    fn event(&self, event: Event);
}

/// Bounds of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls in flight, 1 to 65,536.
    pub calls: usize,
    /// Bytes of one response.
    pub payload: usize,
}

/// A task as a guest gets tasks.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Names the task in the answer.
    pub id: u64,
    /// The entry that the task came in.
    pub submission: Submission,
    /// First byte of the request, valid until the answer, or until the release of a held one.
    pub data: *const u8,
    /// First byte of its context, valid as long.
    pub context: *const u8,
    /// Bytes of the context.
    pub context_length: u32,
}

/// What a guest in a process of its own has of its host's.
pub struct Shared {
    /// The block.
    pub block: Block,
    /// Memory for larger responses.
    pub slabs: Slabs,
    /// Where larger requests lie: addresses are offsets in this mapping.
    pub requests: Mapping,
}

/// What joins a host to the guest that takes its tasks: a block, the tasks in it, memory for
/// responses, a log.
pub struct Connection {
    block: Block,
    pub(crate) tasks: Tasks,
    completer: completion::Completer,
    slabs: Arc<Slabs>,
    pub(crate) streams: Streams,
    /// Where addresses count from, with a guest in a process of its own.
    requests: Option<Mapping>,
    /// Held by the thread that acts on the control ring.
    pub(crate) acting: Mutex<()>,
    log: Log,
    limits: Limits,
    host: Box<dyn Host>,
    failure: OnceLock<ErrorObject>,
    abandoned: OnceLock<()>,
    manifest: OnceLock<String>,
}

impl Connection {
    /// A connection without a guest yet.
    ///
    /// # Errors
    /// If its block cannot be mapped.
    ///
    /// # Panics
    /// If `limits.calls` is out of range.
    pub fn new(limits: Limits, host: Box<dyn Host>) -> io::Result<Self> {
        let block = Block::new(Layout::new(limits.calls))?;
        Ok(Self::with(block, Slabs::default(), None, limits, host))
    }

    /// The guest's end of a connection whose host is another process. What is printed goes to this
    /// process's streams.
    pub fn attach(shared: Shared, payload: usize, host: Box<dyn Host>) -> Self {
        let Shared { block, slabs, requests } = shared;
        let limits = Limits { calls: block.constants().slots as usize, payload };
        let connection = Self::with(block, slabs, Some(requests), limits, host);
        connection.log.close();
        connection
    }

    fn with(
        block: Block,
        slabs: Slabs,
        requests: Option<Mapping>,
        limits: Limits,
        host: Box<dyn Host>,
    ) -> Self {
        Self {
            tasks: Tasks::new(block.constants().request_buffers as usize),
            block,
            completer: completion::Completer::default(),
            slabs: Arc::new(slabs),
            streams: Streams::default(),
            requests,
            acting: Mutex::default(),
            log: Log::default(),
            limits,
            host,
            failure: OnceLock::new(),
            abandoned: OnceLock::new(),
            manifest: OnceLock::new(),
        }
    }

    /// The memory that host and guest share.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// The memory of large responses, which may outlive the connection.
    pub fn slabs(&self) -> &Arc<Slabs> {
        &self.slabs
    }

    /// Takes the next task for a guest thread; `Err` is what the thread got instead.
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
            if let Some(task) = self.accept(submission) {
                return Ok(task);
            }
        }
    }

    /// The task of an entry that was taken out of the ring; nothing if its caller has given it up.
    pub(crate) fn accept(&self, submission: Submission) -> Option<Task> {
        // A slot that the guest still owes an answer for is not submitted by our hosts.
        let id = self.tasks.take(submission.task)?;
        if self.tasks.is_cancelled(id) {
            self.refuse_unstarted(id);
            return None;
        }
        if submission.flags & entry::FLAG_TIMED != 0 {
            self.tasks.time(id, monotonic());
        }
        self.open(id, submission);
        Some(self.task(id, submission))
    }

    fn task(&self, id: u64, submission: Submission) -> Task {
        let buffer = self.block.request(submission.task).cast_const();
        let (data, context) = match submission.address {
            // SAFETY: the host placed the context behind the payload, both in the request buffer.
            0 => (buffer, unsafe { buffer.add(submission.length as usize) }),
            address => (self.pinned(address), buffer),
        };
        let submission = Submission { flags: submission.flags & !entry::FLAG_TIMED, ..submission };
        Task { id, submission, data, context, context_length: submission.stream >> 16 }
    }

    /// Where a payload lies that is not in its request buffer.
    pub(crate) fn pinned(&self, address: u64) -> *const u8 {
        match &self.requests {
            None => address as *const u8,
            Some(requests) => requests.as_ptr().cast_const().wrapping_add(address as usize),
        }
    }

    /// Whether the host is another process, so that no loop acts on the control ring.
    pub(crate) fn is_remote(&self) -> bool {
        self.requests.is_some()
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

    /// Whether the guest still uses memory of a request: then it must outlive the connection.
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

    /// What the guest declared in [`Connection::ready`].
    pub(crate) fn manifest(&self) -> Option<&str> {
        self.manifest.get().map(String::as_str)
    }

    /// The guest reports why it cannot start, or that it died.
    pub fn fail(&self, error: &[u8]) {
        let error = ErrorObject::from_guest(error);
        if self.failure.set(error.clone()).is_ok() && self.manifest.get().is_some() {
            // DEATH 1 end
            self.host.event(Event::Died(error));
            self.cancel_all();
        }
    }

    pub(crate) fn failure(&self) -> Option<&ErrorObject> {
        self.failure.get()
    }

    /// Whether nobody waits for any task any more.
    pub(crate) fn is_over(&self) -> bool {
        self.failure.get().is_some() || self.is_abandoned()
    }

    pub(crate) fn max_payload(&self) -> usize {
        self.limits.payload
    }

    pub(crate) fn event(&self, event: Event) {
        self.host.event(event);
    }

    /// Raises the stop: guest threads leave once the submission ring is empty.
    pub fn stop(&self) {
        submission::stop(self.block.rings().parking);
    }

    /// The host's loop has ended: nobody drains any more, and what no guest thread has taken yet is
    /// not begun.
    pub fn abandon(&self) {
        self.retire();
        self.stop();
    }

    /// Does the same when the guest goes on for others.
    pub fn retire(&self) {
        let _ = self.abandoned.set(());
        self.tasks.retire();
        submission::discard(self.block.rings());
        self.log.close();
        self.cancel_all();
        control::wake(self.block.rings().header);
    }

    /// Whether its host has left, as a thread sees it that has just taken a task: else who ends the
    /// connection sees the task.
    pub(crate) fn has_left(&self) -> bool {
        self.tasks.is_retired()
    }

    /// Whether its host has left.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.get().is_some()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.slabs.retire();
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of deadlines and of `process.hrtime`.
fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place to write to; the clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
