// SPDX-License-Identifier: Apache-2.0
//! The 32 bytes of a ring entry.
//!
//! | word (32 bits) | submission | completion |
//! |---|---|---|
//! | 0 | task | task |
//! | 1 | kind, flags (8 bits each), method (16) | kind, flags (8 bits each), status (16) |
//! | 2 | items of credit (16), bytes of context (16) | bytes of context |
//! | 3 | length | length |
//! | 4, 5 | address, 0 for the slot's own payload | slab (0 for the slot's own payload), offset |
//! | 6, 7 | deadline, nanoseconds of `CLOCK_MONOTONIC` | aux: when a timed call was taken, by the same clock |
//!
//! This is a call and a response; `control.rs` says what the other submissions hold. The context of
//! a request lies behind its payload if both fit the request buffer, at the request buffer's start
//! if the payload is elsewhere; that of a response behind its payload.

use crate::sync::{AtomicU64, Ordering};

/// Completion kind: the response of a task, or an item of a request stream that is given back.
pub const RESPONSE: u8 = 1;
/// Completion kind: an item of a response stream.
pub const ITEM: u8 = 2;
/// Completion kind: a held request payload is free.
pub const RELEASE: u8 = 16;
/// Completion kind: no more responses will come out of `slab`, which has `length` bytes; `aux` of
/// them did.
pub const SEAL: u8 = 17;
/// Completion kind: lines of log wait.
pub const LOG: u8 = 18;

/// Submission flag: the host wants to know when the call was taken. The host's own: guests do not
/// see it.
pub const FLAG_TIMED: u8 = 128;

/// Completion flag: the request payload stays in use until a [`RELEASE`].
pub const FLAG_HELD: u8 = 8;
/// Completion flag: the slab holds this response alone.
pub const FLAG_OWN: u8 = 16;

/// A ring entry as it lies in memory.
#[repr(C, align(32))]
pub struct Entry([AtomicU64; 4]);

#[cfg(not(loom))]
const _: () = assert!(size_of::<Entry>() == crate::layout::ENTRY_BYTES);

impl Default for Entry {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Entry {
    /// Reads the words one by one: the counters decide whether what was read is an entry.
    #[inline]
    pub(crate) fn load(&self) -> [u64; 4] {
        std::array::from_fn(|word| self.0[word].load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn store(&self, words: [u64; 4]) {
        for (word, value) in self.0.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// An entry of the submission ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// Slot of the task.
    pub task: u32,
    /// Kind, `polyloop_abi::KIND_*`.
    pub kind: u8,
    /// Flags, `polyloop_abi::FLAG_*`.
    pub flags: u8,
    /// Index of the method.
    pub method: u16,
    /// Depends on the kind.
    pub stream: u32,
    /// Bytes of payload.
    pub length: u32,
    /// Address of a pinned payload, or 0.
    pub address: u64,
    /// Deadline in nanoseconds of `CLOCK_MONOTONIC`, or 0.
    pub deadline: u64,
}

/// An entry of the completion ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Slot of the task.
    pub task: u32,
    /// Kind: [`RESPONSE`], [`ITEM`], [`RELEASE`], [`SEAL`] or [`LOG`].
    pub kind: u8,
    /// Flags, `polyloop_abi::FLAG_*`, [`FLAG_HELD`] and [`FLAG_OWN`].
    pub flags: u8,
    /// Status, `polyloop_abi::STATUS_*`.
    pub status: u16,
    /// Bytes of context, behind the payload.
    pub stream: u32,
    /// Bytes of payload.
    pub length: u32,
    /// Slab of the payload, or 0.
    pub slab: u32,
    /// Offset in the slab.
    pub offset: u32,
    /// Depends on the kind.
    pub aux: u64,
}

fn pack(low: u32, kind: u8, flags: u8, high: u16) -> u64 {
    u64::from(low) | u64::from(kind) << 32 | u64::from(flags) << 40 | u64::from(high) << 48
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl From<Submission> for [u64; 4] {
    fn from(s: Submission) -> Self {
        [pack(s.task, s.kind, s.flags, s.method), pair(s.stream, s.length), s.address, s.deadline]
    }
}

impl From<[u64; 4]> for Submission {
    fn from(w: [u64; 4]) -> Self {
        Self {
            task: w[0] as u32,
            kind: (w[0] >> 32) as u8,
            flags: (w[0] >> 40) as u8,
            method: (w[0] >> 48) as u16,
            stream: w[1] as u32,
            length: (w[1] >> 32) as u32,
            address: w[2],
            deadline: w[3],
        }
    }
}

impl From<Completion> for [u64; 4] {
    fn from(c: Completion) -> Self {
        [pack(c.task, c.kind, c.flags, c.status), pair(c.stream, c.length), pair(c.slab, c.offset), c.aux]
    }
}

impl From<[u64; 4]> for Completion {
    fn from(w: [u64; 4]) -> Self {
        Self {
            task: w[0] as u32,
            kind: (w[0] >> 32) as u8,
            flags: (w[0] >> 40) as u8,
            status: (w[0] >> 48) as u16,
            stream: w[1] as u32,
            length: (w[1] >> 32) as u32,
            slab: w[2] as u32,
            offset: (w[2] >> 32) as u32,
            aux: w[3],
        }
    }
}
