// SPDX-License-Identifier: Apache-2.0
//! Answers on their way into the completion ring.

use std::io;

use polyloop_abi::{STATUS_ERROR, STATUS_OK};
use polyloop_ring::{
    Completion, entry,
    layout::RESPONSE_BYTES,
    slab::{Place, Sealed},
};

use super::Connection;
use crate::error::ErrorObject;

/// Completion status of an error that is the host's own and not the guest's.
const STATUS_HOST_ERROR: u16 = 2;

/// An error object may be so long whatever the limit of payloads: why a call failed is not to be
/// lost because the error takes more words than the answer.
const ERROR_BYTES: usize = 1 << 20;

/// The largest `maxPayload` that hosts take.
const MOST_PAYLOAD: usize = 1 << 30;

impl Connection {
    /// Answers a task; `data` may be its request. `false`: the task was answered before.
    pub fn respond(&self, task: u64, status: u32, flags: u8, data: &[u8]) -> bool {
        self.relieve();
        let Some(answered) = self.tasks.answer(task) else {
            self.block.rings().header.duplicates.count();
            return false;
        };
        // The guest's death answers all that was in flight: what a guest says in dying would hide
        // that from some.
        if self.failure.get().is_some() {
            self.close(task);
            return true;
        }
        if answered.slot >= self.block.constants().slots {
            self.give_back(answered);
            return true;
        }
        let context = if answered.known { self.close(task) } else { Vec::new() };
        let held = if answered.held { entry::FLAG_HELD } else { 0 };
        let head = Completion {
            task: answered.slot,
            kind: entry::RESPONSE,
            flags: flags & (polyloop_abi::FLAG_BYTES | polyloop_abi::FLAG_EMPTY) | held,
            status: if status == STATUS_OK { 0 } else { STATUS_ERROR as u16 },
            aux: self.tasks.timed(answered.slot),
            ..Completion::default()
        };
        let limit = if head.status == 0 { self.limits.payload } else { self.limits.payload.max(ERROR_BYTES) };
        if data.len() > limit {
            self.refuse(head, "too-large", &too_large(data.len(), self.limits.payload));
        } else if let Err(error) = self.complete(head, data, &context) {
            self.refuse_for_want(head, data.len(), &error);
        }
        true
    }

    /// Answers that there is no memory for an answer.
    fn refuse_for_want(&self, head: Completion, len: usize, error: &io::Error) {
        let never = error.kind() == io::ErrorKind::FileTooLarge;
        let (code, advice) = if never {
            (
                "too-large",
                ": raise the limit of address space (ulimit -v, LimitAS=), or return less at a time",
            )
        } else {
            ("overloaded", "")
        };
        let message = format!("there is no memory for a response of {len} bytes: {error}{advice}");
        self.refuse(head, code, &message);
    }

    /// Answers a task that its caller gave up before a guest thread took it.
    pub(crate) fn refuse_unstarted(&self, task: u64) {
        if let Some(answered) = self.tasks.answer(task) {
            self.close(task);
            let head = Completion { task: answered.slot, kind: entry::RESPONSE, ..Completion::default() };
            self.refuse(head, "cancelled", "the call was given up before it began");
        }
    }

    /// Answers with an error of our own, which always fits.
    fn refuse(&self, head: Completion, code: &str, message: &str) {
        let head = Completion { status: STATUS_HOST_ERROR, flags: head.flags & entry::FLAG_HELD, ..head };
        // At most RESPONSE_BYTES, which need no memory.
        let _ = self.complete(head, ErrorObject::new(code, message).0.as_bytes(), &[]);
    }

    /// Copies a payload, and the context behind it, to where the host reads them and publishes the
    /// completion.
    pub(crate) fn complete(&self, head: Completion, data: &[u8], context: &[u8]) -> io::Result<()> {
        let place = self.place(head, data.len() + context.len())?;
        // SAFETY: place.start has as many bytes, which nobody else was given; a request never lies
        // in a response's place.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), place.start, data.len());
            std::ptr::copy_nonoverlapping(context.as_ptr(), place.start.add(data.len()), context.len());
        }
        if let Some(Sealed { slab, count, bytes }) = place.sealed {
            let (kind, aux) = (entry::SEAL, count.into());
            self.publish(Completion { kind, slab, length: bytes, aux, ..Completion::default() });
        }
        let own = if place.own { entry::FLAG_OWN } else { 0 };
        // STOP 7 response
        self.publish(Completion {
            flags: head.flags | own,
            stream: context.len() as u32,
            length: data.len() as u32,
            slab: place.slab,
            offset: place.offset,
            ..head
        });
        Ok(())
    }

    /// A slot has one place for a small response, and its items come before it: they go to slabs.
    fn place(&self, head: Completion, len: usize) -> io::Result<Place> {
        if len > RESPONSE_BYTES || head.kind == entry::ITEM {
            return self.slabs.place(len);
        }
        Ok(Place { slab: 0, offset: 0, own: false, start: self.block.response(head.task), sealed: None })
    }

    pub(crate) fn publish(&self, completion: Completion) {
        // The ring is sized so that answers and what goes with them fit: `Tasks` lets nothing else
        // in.
        if self.completer.push(self.block.rings(), completion).expect("the completion ring cannot fill up") {
            self.block.rings().header.wakeups.count();
            self.host.wake();
        }
    }
}

fn too_large(len: usize, limit: usize) -> String {
    let advice = if limit < MOST_PAYLOAD { "raise it, or" } else { "it cannot be raised," };
    format!("the response has {len} bytes and maxPayload is {limit}: {advice} return less at a time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_told_what_to_raise_if_that_can_be_raised() {
        assert!(too_large(20, 10).ends_with("maxPayload is 10: raise it, or return less at a time"));
        assert!(
            too_large(MOST_PAYLOAD + 1, MOST_PAYLOAD).ends_with("it cannot be raised, return less at a time")
        );
    }
}
