// SPDX-License-Identifier: Apache-2.0
//! Where everything lies in a block.
//!
//! Words that different sides write stand 128 bytes apart: the adjacent-line prefetcher of x86
//! pulls lines in pairs, and 128 is the line of several arm64 cores (the same choice and source as
//! crossbeam's `CachePadded`).

use crate::sync::{AtomicU32, Ordering};

/// Bytes between two words of the header.
pub const LINE: usize = 128;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 20 * LINE;
/// First word of a block: "PLRB".
pub const MAGIC: u32 = 0x4252_4c50;
/// Version of this layout.
pub const VERSION: u32 = 4;
/// Bytes of a ring entry.
pub const ENTRY_BYTES: usize = 32;
/// Requests up to this size are copied into their slot; larger ones are pinned.
pub const REQUEST_BYTES: usize = 4096;
/// Responses up to this size are written into their slot; larger ones go to a slab.
pub const RESPONSE_BYTES: usize = 1024;
/// Bytes that a response stream may be ahead of its reader, beside its items; one item may go
/// beyond.
pub const WINDOW_BYTES: u32 = 1 << 20;
/// Most slots a block can have.
pub const MAX_SLOTS: usize = 65_536;

/// A word on a line of its own.
#[repr(C, align(128))]
pub struct CachePadded(pub(crate) AtomicU32);

impl CachePadded {
    /// The word as the thread that alone writes it, or that needs no order, sees it.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, for who reads it now and then.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the block says of itself, written once by its maker. All in bytes but the counts.
#[repr(C, align(128))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constants {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Slots: the most calls in flight. A power of two.
    pub slots: u32,
    /// Entries of the submission ring.
    pub sq_entries: u32,
    /// Entries of the completion ring.
    pub cq_entries: u32,
    /// Offset of the submission ring.
    pub sq_offset: u32,
    /// Offset of the completion ring.
    pub cq_offset: u32,
    /// Offset of a byte a request buffer: 1 while the host keeps the request buffer's request
    /// pinned.
    pub pins_offset: u32,
    /// Offset of the request payloads, [`REQUEST_BYTES`] a request buffer.
    pub requests_offset: u32,
    /// Offset of the response payloads, [`RESPONSE_BYTES`] a slot.
    pub responses_offset: u32,
    /// Bytes of the block.
    pub total: u32,
    /// Places for a request or an item of a request stream. The first `slots` are those of the
    /// tasks, the next `slots` carry one item of each task's stream, the rest further items of any.
    pub request_buffers: u32,
    /// Entries of the control ring.
    pub control_entries: u32,
    /// Offset of the control ring.
    pub control_offset: u32,
    /// Most items of response streams that all guests may send before the host has drained some.
    pub credits: u32,
}

/// The header: 20 lines of 128 bytes.
#[repr(C)]
pub struct Header {
    /// Line 0.
    pub constants: Constants,
    /// Line 1. Written by the host: entries submitted, wrapping.
    pub sq_tail: CachePadded,
    /// Line 2. Written by guest threads: entries taken, wrapping.
    pub sq_head: CachePadded,
    /// Line 3. 1 while the poller sleeps: the doorbell must be rung.
    pub sleep: CachePadded,
    /// Line 4. Written by guest threads: entries completed, wrapping.
    pub cq_tail: CachePadded,
    /// Line 5. Written by the host: completions drained, wrapping.
    pub cq_head: CachePadded,
    /// Line 6. 1 while the host's loop sleeps: its doorbell must be rung.
    pub armed: CachePadded,
    /// Line 7. 1 once guest threads are to leave.
    pub stop: CachePadded,
    /// Line 8. Processor that the host's loop last ran on.
    pub host_cpu: CachePadded,
    /// Line 9. Processor that the poller last ran on.
    pub guest_cpu: CachePadded,
    /// Line 10. 1 while a guest thread polls (or sleeps on `sleep`).
    pub poller: CachePadded,
    /// Line 11. Guest threads that sleep as followers.
    pub idle: CachePadded,
    /// Line 12. Bumped to wake a follower.
    pub idle_seq: CachePadded,
    /// Line 13. Written by the host: calls outstanding. If the guest has a process of its own, the
    /// host keeps this number elsewhere, too, to decide whether its loop goes on.
    pub host: CachePadded,
    /// Line 14. Written by the host: entries of the control ring written, wrapping.
    pub control_tail: CachePadded,
    /// Line 15. Written by who acts on them: entries of the control ring read, wrapping.
    pub control_head: CachePadded,
    /// Line 16. 1 while the thread that acts on the control ring sleeps: its doorbell must be rung.
    /// Never if the host's loop acts on it.
    pub control_sleep: CachePadded,
    /// Line 17. Written by a guest in a process of its own: heartbeats, wrapping.
    pub beats: CachePadded,
    /// Line 18. Written by guest threads: wake-ups of the host's loop, wrapping.
    pub wakeups: CachePadded,
    /// Line 19. Written by guest threads: answers to tasks that were answered before, or never
    /// taken, wrapping.
    pub duplicates: CachePadded,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == HEADER_BYTES);
    assert!(std::mem::offset_of!(Header, sq_tail) == LINE);
    assert!(std::mem::offset_of!(Header, cq_tail) == 4 * LINE);
    assert!(std::mem::offset_of!(Header, idle_seq) == 12 * LINE);
    assert!(std::mem::offset_of!(Header, host) == 13 * LINE);
    assert!(std::mem::offset_of!(Header, duplicates) == 19 * LINE);
};

/// Nobody's processor: the value of `host_cpu` and `guest_cpu` before they are known.
pub const NO_CPU: u32 = u32::MAX;

impl Header {
    /// A header in its first state.
    pub fn new(constants: Constants) -> Self {
        let line = |value| CachePadded(AtomicU32::new(value));
        Self {
            constants,
            sq_tail: line(0),
            sq_head: line(0),
            sleep: line(0),
            cq_tail: line(0),
            cq_head: line(0),
            armed: line(0),
            stop: line(0),
            host_cpu: line(NO_CPU),
            guest_cpu: line(NO_CPU),
            poller: line(0),
            idle: line(0),
            idle_seq: line(0),
            host: line(0),
            control_tail: line(0),
            control_head: line(0),
            control_sleep: line(0),
            beats: line(0),
            wakeups: line(0),
            duplicates: line(0),
        }
    }
}

/// Sizes and offsets of a block with a given number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout(Constants);

impl Layout {
    /// The layout for at least `calls` calls in flight, 1 to [`MAX_SLOTS`].
    ///
    /// The submission ring holds a call of each slot. The completion ring holds for each request
    /// buffer a response and the release of a held request, the items that all credit together
    /// allows, a seal for every third payload and a line of log: the completion ring cannot
    /// overflow. Nor can the control ring: its entries are items, which have a request buffer each,
    /// and for a task its end, its cancellation and two or three times credit, and guest threads
    /// that answer empty the control ring once it is half full.
    ///
    /// # Panics
    /// If `calls` is out of range.
    pub fn new(calls: usize) -> Self {
        assert!((1..=MAX_SLOTS).contains(&calls), "a block has 1 to {MAX_SLOTS} slots");
        let slots = calls.next_power_of_two();
        let request_buffers = slots * 2 + (slots / 4).max(64);
        let (sq_entries, cq_entries) = (slots, (slots * 8).max(512));
        let control_entries = (slots * 16).max(1024);
        // What responses, releases, their seals and the log leave; three seals for nine items.
        let credits = (cq_entries - request_buffers * 2 - slots / 3 - 8) * 3 / 4;
        let sq_offset = HEADER_BYTES;
        let cq_offset = sq_offset + sq_entries * ENTRY_BYTES;
        let control_offset = cq_offset + cq_entries * ENTRY_BYTES;
        let pins_offset = control_offset + control_entries * ENTRY_BYTES;
        let requests_offset = (pins_offset + request_buffers).next_multiple_of(4096);
        let responses_offset = requests_offset + request_buffers * REQUEST_BYTES;
        let total = responses_offset + slots * RESPONSE_BYTES;
        Self(Constants {
            magic: MAGIC,
            version: VERSION,
            slots: slots as u32,
            sq_entries: sq_entries as u32,
            cq_entries: cq_entries as u32,
            sq_offset: sq_offset as u32,
            cq_offset: cq_offset as u32,
            pins_offset: pins_offset as u32,
            requests_offset: requests_offset as u32,
            responses_offset: responses_offset as u32,
            total: total.next_multiple_of(4096) as u32,
            request_buffers: request_buffers as u32,
            control_entries: control_entries as u32,
            control_offset: control_offset as u32,
            credits: credits as u32,
        })
    }

    /// What the header's first line says.
    pub fn constants(&self) -> Constants {
        self.0
    }
}
