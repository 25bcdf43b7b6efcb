// SPDX-License-Identifier: Apache-2.0
//! The table of an arena's chunks, a bit for each: the guest marks what it takes, the host what it
//! is done with.

use std::ops::Range;

use crate::sync::{AtomicU32, Ordering};

/// Bytes of a chunk.
#[cfg(not(loom))]
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// Chunks of a word.
pub(crate) const WORD_CHUNKS: usize = u32::BITS as usize;

/// Takes chunks in a row: the first of them. Fresh memory says that all are free. One thread at a
/// time.
pub(crate) fn take(table: &[AtomicU32], wanted: usize) -> Option<usize> {
    let mut run = 0;
    // The lowest that are free: the ones used last, and so the warmest.
    for (at, word) in table.iter().enumerate() {
        // SYNC POINT chunk
        let taken = word.load(Ordering::Acquire);
        if taken == u32::MAX {
            run = 0;
            continue;
        }
        for bit in 0..WORD_CHUNKS {
            run = if taken >> bit & 1 == 0 { run + 1 } else { 0 };
            if run == wanted {
                let end = at * WORD_CHUNKS + bit + 1;
                mark(table, end - wanted..end);
                return Some(end - wanted);
            }
        }
    }
    None
}

/// Marks chunks as taken.
pub(crate) fn mark(table: &[AtomicU32], chunks: Range<usize>) {
    for (at, bits) in words(chunks) {
        // Not to be seen by the host, which believes nothing of the table.
        table[at].fetch_or(bits, Ordering::Relaxed);
    }
}

/// Marks chunks as free, which the host has read for the last time.
pub(crate) fn give_back(table: &[AtomicU32], chunks: Range<usize>) {
    for (at, bits) in words(chunks) {
        // SYNC POINT chunk
        table[at].fetch_and(!bits, Ordering::Release);
    }
}

/// The words that chunks lie in, and their bits there.
fn words(chunks: Range<usize>) -> impl Iterator<Item = (usize, u32)> {
    let mut start = chunks.start;
    std::iter::from_fn(move || {
        let (at, bit) = (start / WORD_CHUNKS, start % WORD_CHUNKS);
        let count = chunks.end.saturating_sub(start).min(WORD_CHUNKS - bit);
        start += count;
        (count > 0).then(|| (at, u32::MAX >> (WORD_CHUNKS - count) << bit))
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn table<const N: usize>(words: [u32; N]) -> [AtomicU32; N] {
        words.map(AtomicU32::new)
    }

    fn read(table: &[AtomicU32]) -> Vec<u32> {
        table.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn the_lowest_chunks_in_a_row_are_taken_across_words_too() {
        let table = table([0x7fff_fffd, 0xffff_fff0, 0]);
        assert_eq!(take(&table, 1), Some(1));
        assert_eq!(take(&table, 5), Some(31));
        assert_eq!(take(&table, 33), None);
        assert_eq!(take(&table, 32), Some(64));
        assert_eq!(read(&table), [u32::MAX; 3]);
    }

    #[test]
    fn chunks_that_are_given_back_are_taken_again_and_no_others() {
        let table = table([u32::MAX; 4]);
        give_back(&table, 30..100);
        assert_eq!(read(&table), [0x3fff_ffff, 0, 0, 0xffff_fff0]);
        assert_eq!(take(&table, 71), None);
        assert_eq!(take(&table, 70), Some(30));
        assert_eq!(read(&table), [u32::MAX; 4]);
    }
}
