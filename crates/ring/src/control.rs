// SPDX-License-Identifier: Apache-2.0
//! The control ring: what the host says of calls that were submitted before. One writer, one reader
//! at a time.
//!
//! | kind | task | stream | length | address | deadline |
//! |---|---|---|---|---|---|
//! | item | slot of its task | generation of the task | bytes | of a pinned payload, or 0 | request buffer |
//! | end, cancel | slot | generation | | | |
//! | credit | slot | generation | bytes | | items |

use crate::{
    Rings,
    entry::Submission,
    futex,
    layout::Header,
    sync::{Ordering, store_before_looking},
};

/// Whether entries wait.
#[inline]
pub fn waiting(header: &Header) -> bool {
    // SYNC POINT control
    header.control_head.0.load(Ordering::Relaxed) != header.control_tail.0.load(Ordering::Acquire)
}

/// Reads the oldest entry. One thread at a time.
pub fn pop(rings: Rings<'_>) -> Option<Submission> {
    let Header { control_head, control_tail, .. } = rings.header;
    let head = control_head.0.load(Ordering::Relaxed);
    // SYNC POINT control
    if head == control_tail.0.load(Ordering::Acquire) {
        return None;
    }
    let words = rings.control[head as usize & (rings.control.len() - 1)].load();
    // SYNC POINT control
    control_head.0.store(head.wrapping_add(1), Ordering::Release);
    Some(words.into())
}

/// Publishes an entry. JavaScript does the same with typed arrays (`control.ts`). `false`: the ring
/// is full.
#[must_use]
pub fn push(rings: Rings<'_>, entry: Submission) -> bool {
    let Header { control_head, control_tail, .. } = rings.header;
    let tail = control_tail.0.load(Ordering::Relaxed);
    // SYNC POINT control
    if tail.wrapping_sub(control_head.0.load(Ordering::Acquire)) as usize >= rings.control.len() {
        return false;
    }
    rings.control[tail as usize & (rings.control.len() - 1)].store(entry.into());
    // SYNC POINT control; SYNC POINT control-sleep
    store_before_looking(&control_tail.0, tail.wrapping_add(1));
    true
}

/// Wakes the thread that acts on the ring, if it sleeps; `true` if it did.
pub fn ring(header: &Header) -> bool {
    let sleep = &header.control_sleep.0;
    // SYNC POINT control-sleep
    // The exchange makes one of several callers ring, and none once the thread has woken by itself.
    let slept = sleep.load(Ordering::SeqCst) == 1 && sleep.swap(0, Ordering::SeqCst) == 1;
    if slept {
        futex::wake(sleep, 1);
    }
    slept
}

/// Sleeps until entries wait, or something else is over, after which [`wake`] is called. One
/// thread.
pub fn sleep(header: &Header, is_over: impl Fn() -> bool) {
    let Header { control_head, control_tail, control_sleep, .. } = header;
    let waits = || control_head.0.load(Ordering::SeqCst) != control_tail.0.load(Ordering::SeqCst);
    // SYNC POINT control-sleep
    store_before_looking(&control_sleep.0, 1);
    // The second look: an entry that was published before the store above rang no bell.
    while !waits() && !is_over() && control_sleep.0.load(Ordering::SeqCst) == 1 {
        futex::wait(&control_sleep.0, 1);
    }
    control_sleep.0.store(0, Ordering::SeqCst);
}

/// Wakes the thread that acts on the ring, whether it sleeps or is about to: both exchange the same
/// word, so that the later of them sees what came before the earlier.
pub fn wake(header: &Header) {
    let sleep = &header.control_sleep.0;
    // SYNC POINT control-sleep
    if sleep.swap(0, Ordering::SeqCst) == 1 {
        futex::wake(sleep, 1);
    }
}

/// Whether more than half of the ring waits: then who passes by should act on it.
#[inline]
pub fn is_crowded(rings: Rings<'_>) -> bool {
    let Header { control_head, control_tail, .. } = rings.header;
    let waiting = control_tail.0.load(Ordering::Relaxed).wrapping_sub(control_head.0.load(Ordering::Relaxed));
    waiting as usize > rings.control.len() / 2
}
