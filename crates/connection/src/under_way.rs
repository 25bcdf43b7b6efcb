// SPDX-License-Identifier: Apache-2.0
//! Calls between their beginning and their answer: items, credit, cancellation, context.

use std::{ffi::c_void, sync::PoisonError};

use polyloop_abi::{
    EVENT_CANCELLED, EVENT_CREDIT, EVENT_INPUT, FLAG_BYTES, FLAG_EMPTY, FLAG_INPUT, FLAG_OUTPUT, KIND_CANCEL,
    KIND_CREDIT, KIND_END, KIND_ITEM, Watcher,
};
use polyloop_ring::{
    Completion, Submission, control, entry,
    layout::WINDOW_BYTES,
    tasks::{Answered, Standing, split},
};

use crate::{
    Connection,
    streams::{Inbound, Locked},
};

/// The longest context of an answer, in bytes.
const CONTEXT_BYTES: usize = 4096;

/// An item of a request stream in the guest's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Names the item in [`Connection::respond`], which gives it back.
    pub id: u64,
    /// `FLAG_BYTES`, `FLAG_EMPTY`.
    pub flags: u8,
    /// First byte, valid until the item is given back.
    pub data: *const u8,
    /// Bytes.
    pub length: u32,
}

/// Why a stream gave or took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// Not now.
    Wait,
    /// The request stream has ended.
    End,
    /// The caller has given the task up.
    Cancelled,
    /// The task was answered, or the item is too large, or there is no memory for it.
    Refused,
}

impl Connection {
    /// Acts on what the host has said in the control ring, and blocks no longer than another thread
    /// takes to do the same.
    pub fn control(&self) {
        let _acting = self.acting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(entry) = control::pop(self.block().rings()) {
            let mut locked = self.streams.lock(entry.task, entry.stream);
            match entry.kind {
                KIND_ITEM => self.arrive(&mut locked, entry),
                KIND_CANCEL => self.give_up(&mut locked, entry),
                kind => self.inform(&mut locked, kind, entry),
            }
        }
    }

    /// Acts on the control ring until the host leaves, or the process ends: the work of a thread if
    /// the host is another process.
    pub fn act(&self) {
        while !self.is_abandoned() {
            control::sleep(self.block().rings().header, || self.is_abandoned());
            self.control();
        }
    }

    /// Acts on the control ring when a guest thread passes by and no loop does: before the thread
    /// would wait.
    fn look(&self) {
        if self.is_remote() && control::waiting(self.block().rings().header) {
            self.control();
        }
    }

    /// Does the same when the ring may get full.
    pub(crate) fn relieve(&self) {
        if self.is_remote() && control::is_crowded(self.block().rings()) {
            self.control();
        }
    }

    /// An item has come, perhaps before a guest thread took its task.
    fn arrive(&self, locked: &mut Locked<'_>, entry: Submission) {
        let item = Inbound::from(entry);
        if self.tasks.standing(entry.task, entry.stream) == Standing::Over {
            return self.drop_item(item);
        }
        let stream = locked.open();
        stream.inbox.push_back(item);
        stream.tell(EVENT_INPUT);
    }

    fn give_up(&self, locked: &mut Locked<'_>, entry: Submission) {
        self.tasks.cancel(entry.task, entry.stream);
        if let Some(stream) = locked.get() {
            stream.tell(EVENT_CANCELLED);
        }
    }

    fn inform(&self, locked: &mut Locked<'_>, kind: u8, entry: Submission) {
        if self.tasks.standing(entry.task, entry.stream) == Standing::Over {
            return;
        }
        let stream = locked.open();
        if kind == KIND_END {
            stream.ended = true;
            stream.tell(EVENT_INPUT);
        } else if kind == KIND_CREDIT {
            // ITEM 7 go on
            stream.credit.0 += i64::from(entry.deadline as u32);
            stream.credit.1 += i64::from(entry.length);
            stream.tell(EVENT_CREDIT);
        }
    }

    /// A task that is more than one request and one answer was taken.
    pub(crate) fn open(&self, id: u64, submission: Submission) {
        if submission.flags & (FLAG_INPUT | FLAG_OUTPUT) == 0 {
            return;
        }
        self.tasks.know(id);
        let (slot, generation) = split(id);
        let mut locked = self.streams.lock(slot as u32, generation);
        let stream = locked.open();
        stream.ended |= submission.flags & FLAG_INPUT == 0;
        if submission.flags & FLAG_OUTPUT != 0 {
            stream.credit.0 += i64::from(submission.stream & 0xffff);
            stream.credit.1 += i64::from(WINDOW_BYTES);
        }
    }

    /// A task is answered: what is left of its request stream is given back. Its context.
    pub(crate) fn close(&self, task: u64) -> Vec<u8> {
        let (slot, generation) = split(task);
        let closed = self.streams.lock(slot as u32, generation).close();
        let Some(stream) = closed else { return Vec::new() };
        stream.hang_up();
        for item in &stream.inbox {
            self.drop_item(*item);
        }
        stream.context
    }

    /// Gives an item back that the guest never saw.
    fn drop_item(&self, item: Inbound) {
        if let Some(answered) = self.tasks.take(item.buffer).and_then(|id| self.tasks.answer(id)) {
            self.give_back(answered);
        }
    }

    /// Tells the host that an item's request buffer is free, or will be when what the guest holds
    /// of it is.
    pub(crate) fn give_back(&self, answered: Answered) {
        let held = if answered.held { entry::FLAG_HELD } else { 0 };
        let (task, flags) = (answered.slot, FLAG_EMPTY | held);
        self.publish(Completion { task, kind: entry::RESPONSE, flags, ..Completion::default() });
    }

    /// The next item of a task's request stream; with `wait` blocks until there is one.
    ///
    /// # Errors
    /// [`Nothing`].
    pub fn receive(&self, task: u64, wait: bool) -> Result<Item, Nothing> {
        self.look();
        let (slot, generation) = split(task);
        let mut locked = self.streams.lock(slot as u32, generation);
        loop {
            if self.is_given_up(task) {
                return Err(Nothing::Cancelled);
            }
            if !self.tasks.is_open(task) {
                return Err(Nothing::Refused);
            }
            let Some(stream) = locked.get() else { return Err(Nothing::End) };
            if let Some(item) = stream.inbox.pop_front() {
                return self.hand_over(item);
            }
            if stream.ended {
                return Err(Nothing::End);
            }
            if !wait {
                return Err(Nothing::Wait);
            }
            locked = locked.wait().ok_or(Nothing::Refused)?;
        }
    }

    fn hand_over(&self, item: Inbound) -> Result<Item, Nothing> {
        // A request buffer that was given back is free; a host that uses it twice at once gets
        // nothing.
        let id = self.tasks.take(item.buffer).ok_or(Nothing::Refused)?;
        let data = match item.address {
            0 => self.block().request(item.buffer).cast_const(),
            address => self.pinned(address),
        };
        Ok(Item { id, flags: item.flags, data, length: item.length })
    }

    /// Sends an item of a task's response stream; with `wait` blocks until there is credit.
    ///
    /// # Errors
    /// [`Nothing`].
    pub fn send(&self, task: u64, flags: u8, data: &[u8], wait: bool) -> Result<(), Nothing> {
        if data.len() > self.max_payload() {
            return Err(Nothing::Refused);
        }
        // ITEM 3 send
        self.spend(task, data.len(), wait)?;
        let head = Completion {
            task: split(task).0 as u32,
            kind: entry::ITEM,
            flags: flags & (FLAG_BYTES | FLAG_EMPTY),
            ..Completion::default()
        };
        self.complete(head, data, &[]).map_err(|_| Nothing::Refused)
    }

    /// Takes an item's credit.
    fn spend(&self, task: u64, len: usize, wait: bool) -> Result<(), Nothing> {
        self.look();
        let (slot, generation) = split(task);
        let mut locked = self.streams.lock(slot as u32, generation);
        loop {
            if self.is_given_up(task) {
                return Err(Nothing::Cancelled);
            }
            let stream = locked.get().filter(|_| self.tasks.is_open(task)).ok_or(Nothing::Refused)?;
            if stream.has_credit() {
                stream.credit.0 -= 1;
                stream.credit.1 -= i64::try_from(len).unwrap_or(i64::MAX);
                return Ok(());
            }
            if !wait {
                return Err(Nothing::Wait);
            }
            locked = locked.wait().ok_or(Nothing::Refused)?;
        }
    }

    /// Has a watcher told of a task's events until it is answered. `false`: the task was answered
    /// before.
    pub fn watch(&self, task: u64, watcher: Option<Watcher>, context: *mut c_void) -> bool {
        let (slot, generation) = split(task);
        let mut locked = self.streams.lock(slot as u32, generation);
        let open = self.tasks.know(task);
        if open {
            locked.open().watch(watcher, context, self.is_given_up(task));
        }
        open
    }

    /// Whether a task's caller has given it up; `None` if it was answered.
    pub fn cancelled(&self, task: u64) -> Option<bool> {
        self.look();
        self.tasks.is_open(task).then(|| self.is_given_up(task))
    }

    fn is_given_up(&self, task: u64) -> bool {
        self.tasks.is_cancelled(task) || self.is_over()
    }

    /// Sets the context that goes back with the answer. `false`: the context is too long, or comes
    /// too late.
    pub fn annotate(&self, task: u64, context: &[u8]) -> bool {
        let (slot, generation) = split(task);
        let mut locked = self.streams.lock(slot as u32, generation);
        if context.len() > CONTEXT_BYTES || !self.tasks.know(task) {
            return false;
        }
        locked.open().context = context.to_vec();
        true
    }

    /// Nobody waits for any task any more: guests that wait for their callers hear it.
    pub(crate) fn cancel_all(&self) {
        self.streams.tell_all(EVENT_CANCELLED);
    }
}
