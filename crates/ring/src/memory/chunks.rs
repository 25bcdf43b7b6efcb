// SPDX-License-Identifier: Apache-2.0
//! The table of an arena's chunks, a word for each: the guest marks what it takes, the host what it
//! is done with.

use crate::sync::{AtomicU32, Ordering};

/// Bytes of a chunk.
#[cfg(not(loom))]
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// What fresh memory says.
const FREE: u32 = 0;
const TAKEN: u32 = 1;

/// Takes chunks in a row: the first of them. Chunk 0 is never free. One thread at a time.
pub(crate) fn take(table: &[AtomicU32], wanted: usize) -> Option<usize> {
    let mut run = 0;
    // The lowest that are free: the ones used last, and so the warmest.
    for chunk in 1..table.len() {
        // SYNC POINT chunk
        run = if table[chunk].load(Ordering::Acquire) == FREE { run + 1 } else { 0 };
        if run == wanted {
            let first = chunk + 1 - wanted;
            for chunk in &table[first..=chunk] {
                chunk.store(TAKEN, Ordering::Relaxed);
            }
            return Some(first);
        }
    }
    None
}

/// Marks chunks as free, which the host has read for the last time.
pub(crate) fn give_back(chunks: &[AtomicU32]) {
    for chunk in chunks {
        // SYNC POINT chunk
        chunk.store(FREE, Ordering::Release);
    }
}
