// SPDX-License-Identifier: Apache-2.0
//! The control ring: what the host says of calls that were submitted before. One writer, one reader.
//!
//! | kind | task | stream | length | address | deadline |
//! |---|---|---|---|---|---|
//! | item | slot of its task | generation of the task | bytes | of a pinned payload, or 0 | carrier |
//! | end, cancel | slot | generation | | | |
//! | credit | slot | generation | bytes | | items |

use crate::{Rings, entry::Submission, layout::Header, sync::Ordering};

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

/// Publishes an entry. JavaScript does the same with typed arrays (`control.ts`). `false`: the ring is full.
#[must_use]
pub fn push(rings: Rings<'_>, entry: Submission) -> bool {
    let Header { control_head, control_tail, .. } = rings.header;
    let tail = control_tail.0.load(Ordering::Relaxed);
    // SYNC POINT control
    if tail.wrapping_sub(control_head.0.load(Ordering::Acquire)) as usize >= rings.control.len() {
        return false;
    }
    rings.control[tail as usize & (rings.control.len() - 1)].store(entry.into());
    // SYNC POINT control
    control_tail.0.store(tail.wrapping_add(1), Ordering::Release);
    true
}
