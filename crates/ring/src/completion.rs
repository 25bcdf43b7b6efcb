// SPDX-License-Identifier: Apache-2.0
//! The completion ring: guest threads write under a lock, one host thread drains.

use crate::{
    Rings,
    entry::Completion,
    layout::Header,
    sync::{Mutex, Ordering, relax, store_before_looking},
};

/// The guest's end. The ring's capacity is chosen so that the ring cannot fill up, see
/// [`crate::Layout::new`]; a guest that breaks the rules and fills the ring all the same gets
/// [`Overflow`].
pub struct Completer {
    tail: Mutex<u32>,
}

/// The ring is full: the guest has answered more than was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl Default for Completer {
    fn default() -> Self {
        Self { tail: Mutex::new(0) }
    }
}

impl Completer {
    /// Publishes an entry. `true`: the host's loop sleeps and this caller must wake it.
    ///
    /// # Errors
    /// [`Overflow`].
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn push(&self, rings: Rings<'_>, entry: Completion) -> Result<bool, Overflow> {
        {
            let mut tail = self.tail.lock().unwrap();
            let head = rings.header.cq_head.0.load(Ordering::Acquire);
            if tail.wrapping_sub(head) as usize >= rings.cq.len() {
                return Err(Overflow);
            }
            rings.cq[*tail as usize & (rings.cq.len() - 1)].store(entry.into());
            *tail = tail.wrapping_add(1);
            // SYNC POINT complete; SYNC POINT host-sleep
            store_before_looking(&rings.header.cq_tail.0, *tail);
        }
        // SYNC POINT host-sleep
        // A load first: the exchange would take the line from the host at every response.
        let armed = &rings.header.armed.0;
        Ok(armed.load(Ordering::SeqCst) == 1 && armed.swap(0, Ordering::SeqCst) == 1)
    }
}

/// The host's end. Hosts in JavaScript have their own, on typed arrays: this one is for hosts in
/// Rust, and for the tests.
pub struct Drainer<'a> {
    rings: Rings<'a>,
    head: u32,
}

impl<'a> Drainer<'a> {
    /// The one reader of a ring.
    pub fn new(rings: Rings<'a>) -> Self {
        Self { head: rings.header.cq_head.0.load(Ordering::Relaxed), rings }
    }

    /// The oldest completion.
    pub fn pop(&mut self) -> Option<Completion> {
        // SYNC POINT complete
        if self.head == self.rings.header.cq_tail.0.load(Ordering::Acquire) {
            return None;
        }
        let words = self.rings.cq[self.head as usize & (self.rings.cq.len() - 1)].load();
        self.head = self.head.wrapping_add(1);
        // Gives the entry back to the writers.
        self.rings.header.cq_head.0.store(self.head, Ordering::Release);
        Some(words.into())
    }
}

/// Whether completions wait for the host.
#[inline]
pub fn waiting(header: &Header) -> bool {
    // SYNC POINT complete
    header.cq_head.0.load(Ordering::Relaxed) != header.cq_tail.0.load(Ordering::Acquire)
}

/// Waits a moment for more completions to share a drain, when many calls are outstanding and few
/// have come: the way into the host costs as much as several responses, and every look at the ring
/// takes its cache line from the guest that fills it.
pub fn gather(header: &Header) {
    /// A share of the calls outstanding that is worth a drain, and a drain that is large enough.
    const SHARE: u32 = 4;
    const ENOUGH: u32 = 16;
    /// Looks, some tens of nanoseconds apart: a few microseconds at most.
    const LOOKS: u32 = 24;
    let wanted = (header.host.get() / SHARE).min(ENOUGH);
    let head = header.cq_head.0.load(Ordering::Relaxed);
    for _ in 0..LOOKS {
        if header.cq_tail.0.load(Ordering::Acquire).wrapping_sub(head) >= wanted {
            return;
        }
        for _ in 0..4 {
            relax();
        }
    }
}

/// The host is about to sleep: from here on a guest rings its doorbell. `false`: completions have
/// come meanwhile, do not sleep.
#[must_use]
pub fn arm(header: &Header) -> bool {
    // SYNC POINT host-sleep
    store_before_looking(&header.armed.0, 1);
    // The second look: a response that was written before the store above rang no bell.
    header.cq_head.0.load(Ordering::Relaxed) == header.cq_tail.0.load(Ordering::SeqCst)
}

/// The host is awake.
pub fn disarm(header: &Header) {
    // A look first: most turns find 0 already, and an exchange would take the line.
    if header.armed.0.load(Ordering::Relaxed) != 0 {
        header.armed.0.swap(0, Ordering::Relaxed);
    }
}
