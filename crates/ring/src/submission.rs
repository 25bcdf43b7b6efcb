// SPDX-License-Identifier: Apache-2.0
//! The submission ring: one host thread writes, any number of guest threads take.

use crate::{
    Rings,
    entry::Submission,
    futex,
    layout::Header,
    sync::{AtomicU32, Ordering, store_before_looking},
};

/// The ring has no free entry: wait for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The host's end. JavaScript does the same with typed arrays (`submission.ts`).
pub struct Submitter<'a> {
    rings: Rings<'a>,
    tail: u32,
}

impl<'a> Submitter<'a> {
    /// The one writer of a ring.
    pub fn new(rings: Rings<'a>) -> Self {
        Self { tail: rings.header.sq_tail.0.load(Ordering::Relaxed), rings }
    }

    /// Publishes an entry. `true`: the poller sleeps, call [`ring`].
    ///
    /// # Errors
    /// [`Full`] if no entry is free.
    pub fn push(&mut self, entry: Submission) -> Result<bool, Full> {
        let Header { sq_head, sq_tail, .. } = self.rings.header;
        // A stale head only makes the ring look fuller than it is.
        let head = sq_head.0.load(Ordering::Acquire);
        if self.tail.wrapping_sub(head) as usize >= self.rings.sq.len() {
            return Err(Full);
        }
        self.rings.sq[self.tail as usize & (self.rings.sq.len() - 1)].store(entry.into());
        self.tail = self.tail.wrapping_add(1);
        // SYNC POINT submit; SYNC POINT guest-sleep
        store_before_looking(&sq_tail.0, self.tail);
        Ok(self.rings.parking.sleep.0.load(Ordering::SeqCst) != 0)
    }
}

/// Rings the guest's doorbell; `true` if there was a sleeper to wake.
pub fn ring(parking: &Header) -> bool {
    // The exchange makes one of several callers ring, and none once the poller has woken by itself.
    let slept = parking.sleep.0.swap(0, Ordering::SeqCst) == 1;
    if slept {
        futex::wake(&parking.sleep.0, 1);
    }
    slept
}

/// Wakes one follower when tasks wait and no thread polls, because the poller is busy with a task.
/// A host that is about to sleep calls this once more after [`crate::completion::arm`].
pub fn help(header: &Header, parking: &Header) -> bool {
    // SYNC POINT idle; SYNC POINT help
    let stuck = !is_empty(header)
        && parking.poller.0.load(Ordering::SeqCst) == 0
        && parking.idle.0.load(Ordering::SeqCst) > 0;
    if stuck {
        wake_follower(parking, 1);
    }
    stuck
}

pub(crate) fn wake_follower(parking: &Header, count: i32) {
    parking.idle_seq.0.fetch_add(1, Ordering::SeqCst);
    futex::wake(&parking.idle_seq.0, count);
}

/// Wakes every thread that waits, for it to look again.
pub fn wake_all(parking: &Header) {
    parking.sleep.0.store(0, Ordering::SeqCst);
    futex::wake(&parking.sleep.0, i32::MAX);
    wake_follower(parking, i32::MAX);
}

/// Whether every submission was taken.
pub fn is_empty(header: &Header) -> bool {
    // SYNC POINT guest-sleep; SYNC POINT idle
    header.sq_head.0.load(Ordering::SeqCst) == header.sq_tail.0.load(Ordering::SeqCst)
}

/// How many submissions were taken so far, wrapping.
pub fn taken(header: &Header) -> u32 {
    header.sq_head.0.load(Ordering::Relaxed)
}

/// Takes what no guest thread has taken yet, and drops it.
pub fn discard(rings: Rings<'_>) {
    while pop(rings).is_some() {}
}

/// Tells every guest thread to leave once the ring is empty.
pub fn stop(parking: &Header) {
    // SYNC POINT stop
    store_before_looking(&parking.stop.0, 1);
    wake_all(parking);
}

/// Whether [`stop`] was called.
pub fn stopped(parking: &Header) -> bool {
    // SYNC POINT stop
    parking.stop.0.load(Ordering::SeqCst) != 0
}

/// Takes the oldest submission.
#[inline]
pub(crate) fn pop(rings: Rings<'_>) -> Option<Submission> {
    let Header { sq_head, sq_tail, .. } = rings.header;
    // Acquire: whoever moved the head had seen a tail beyond it, and so must the next line.
    let mut head = sq_head.0.load(Ordering::Acquire);
    loop {
        // SYNC POINT submit
        let tail = sq_tail.0.load(Ordering::Acquire);
        if head == tail {
            return None;
        }
        // If another thread takes it first, the host may overwrite the entry while it is read
        // here; the exchange then fails and what was read is dropped.
        let words = rings.sq[head as usize & (rings.sq.len() - 1)].load();
        match advance(&sq_head.0, head) {
            Ok(()) => return Some(words.into()),
            Err(moved) => head = moved,
        }
    }
}

fn advance(counter: &AtomicU32, from: u32) -> Result<(), u32> {
    counter.compare_exchange(from, from.wrapping_add(1), Ordering::AcqRel, Ordering::Acquire).map(drop)
}
