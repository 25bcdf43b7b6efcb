// SPDX-License-Identifier: Apache-2.0
//! Address space that is set aside at once and takes memory as it is touched, and what its owner
//! knows of each chunk of it.

use std::{
    mem::ManuallyDrop,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::memory::{chunks::CHUNK_BYTES, region::Mapping};

/// Memory of free chunks that an owner keeps for the next ones.
pub(crate) const KEPT_BYTES: usize = 128 << 20;

/// Of what is over, free address space is given back in pieces of at least so many chunks: each
/// makes one mapping more of those that a process may have.
const LEAST_GAP: usize = (64 << 20) / CHUNK_BYTES;

/// The chunk was never in use, or its memory was given back.
const BARE: u8 = 0;
/// The chunk is in use.
const USED: u8 = 1;
/// The chunk is free, and may have memory.
const KEPT: u8 = 2;
/// The chunk is not mapped any more.
const GONE: u8 = 3;

/// Chunks that bytes take.
pub(crate) fn chunks(bytes: usize) -> usize {
    bytes.max(1).div_ceil(CHUNK_BYTES)
}

fn is_free(chunk: u8) -> bool {
    matches!(chunk, BARE | KEPT)
}

/// A mapping, chunk by chunk.
pub(crate) struct Reserve {
    memory: ManuallyDrop<Mapping>,
    state: Mutex<State>,
}

struct State {
    /// What is known of each chunk; those behind the last one are gone.
    chunks: Vec<u8>,
    /// No chunk below is free.
    lowest: usize,
    used: usize,
    kept: usize,
    /// Nobody asks for chunks any more.
    is_over: bool,
}

impl Reserve {
    /// Whole chunks, none of them in use.
    pub(crate) fn new(memory: Mapping) -> Self {
        let chunks = vec![BARE; memory.len() / CHUNK_BYTES];
        let state = State { chunks, lowest: 0, used: 0, kept: 0, is_over: false };
        Self { memory: ManuallyDrop::new(memory), state: Mutex::new(state) }
    }

    pub(crate) fn memory(&self) -> &Mapping {
        &self.memory
    }

    /// First byte of a chunk, which is mapped as long as the chunk is in use.
    pub(crate) fn at(&self, chunk: usize) -> *mut u8 {
        debug_assert!(chunk < self.memory.len() / CHUNK_BYTES);
        // SAFETY: the chunk lies in the mapping.
        unsafe { self.memory.as_ptr().add(chunk * CHUNK_BYTES) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lowest free chunks in a row, now in use: the first.
    pub(crate) fn find(&self, wanted: usize) -> Option<usize> {
        let mut state = self.state();
        if state.is_over {
            return None;
        }
        let mut run = 0;
        for chunk in state.advance()..state.chunks.len() {
            run = if is_free(state.chunks[chunk]) { run + 1 } else { 0 };
            if run == wanted {
                let range = chunk + 1 - wanted..chunk + 1;
                state.begin(range.clone());
                return Some(range.start);
            }
        }
        None
    }

    /// Has these chunks be in use. `false`: some are, or there are none such.
    pub(crate) fn claim(&self, range: Range<usize>) -> bool {
        let mut state = self.state();
        let known = state.chunks.get(range.clone()).filter(|_| !state.is_over);
        let are_free = known.is_some_and(|chunks| chunks.iter().copied().all(is_free));
        if are_free {
            state.begin(range);
        }
        are_free
    }

    /// Chunks are not in use any more. Their memory is kept if there is room among what is kept,
    /// here and elsewhere.
    pub(crate) fn give_back(&self, range: Range<usize>, elsewhere: usize) {
        let mut state = self.state();
        let bytes = (state.kept + range.len()) * CHUNK_BYTES + elsewhere;
        let keeps = !state.is_over && bytes <= KEPT_BYTES;
        state.used -= range.len();
        state.lowest = state.lowest.min(range.start);
        if keeps {
            state.kept += range.len();
        } else {
            self.forget(range.clone());
        }
        state.chunks[range.clone()].fill(if keeps { KEPT } else { BARE });
        if state.is_over {
            self.unmap(&mut state, range.start);
        }
    }

    /// Nobody asks for chunks any more: what is free gives memory and address space back, and what
    /// is in use does so later.
    pub(crate) fn retire(&self) {
        let mut state = self.state();
        if state.is_over {
            return;
        }
        state.is_over = true;
        let mut from = 0;
        while let Some(gap) = state.gap(from) {
            // What another process has written there, nobody else knows of.
            self.forget(gap.clone());
            for chunk in state.chunks[gap.clone()].iter_mut().filter(|chunk| **chunk == KEPT) {
                *chunk = BARE;
            }
            self.unmap(&mut state, gap.start);
            from = gap.end;
        }
        state.kept = 0;
    }

    fn forget(&self, range: Range<usize>) {
        self.memory.forget(range.start * CHUNK_BYTES, range.len() * CHUNK_BYTES);
    }

    /// Gives back the address space that is free around a chunk.
    fn unmap(&self, state: &mut State, chunk: usize) {
        let is_bare = |at: &usize| state.chunks[*at] == BARE;
        let start = (0..chunk).rev().take_while(is_bare).last().unwrap_or(chunk);
        let end = (chunk..state.chunks.len()).take_while(is_bare).last().map_or(chunk, |last| last + 1);
        if end - start < LEAST_GAP {
            return;
        }
        // SAFETY: nobody uses these chunks, nor will: they are marked as gone, so that they are
        // not unmapped again.
        if !unsafe { self.memory.unmap(start * CHUNK_BYTES, (end - start) * CHUNK_BYTES) } {
            return;
        }
        if end == state.chunks.len() {
            // One Buffer may keep this: that is not to take the memory of a long list.
            state.chunks.truncate(start);
            state.chunks.shrink_to_fit();
        } else {
            state.chunks[start..end].fill(GONE);
        }
    }

    /// Bytes in use, and bytes of free chunks whose memory is kept.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let state = self.state();
        (state.used * CHUNK_BYTES, state.kept * CHUNK_BYTES)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.chunks.len() * CHUNK_BYTES == self.memory.len() && !state.chunks.contains(&GONE) {
            // SAFETY: this is not used any more.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
            return;
        }
        let mut at = 0;
        for part in state.chunks.chunk_by(|one, other| (*one == GONE) == (*other == GONE)) {
            if part[0] != GONE {
                // SAFETY: the part is mapped, nobody uses it, and the mapping is not dropped.
                unsafe { self.memory.unmap(at * CHUNK_BYTES, part.len() * CHUNK_BYTES) };
            }
            at += part.len();
        }
    }
}

impl State {
    /// The lowest chunk that may be free.
    fn advance(&mut self) -> usize {
        let free = self.chunks[self.lowest..].iter().position(|chunk| is_free(*chunk));
        self.lowest = free.map_or(self.chunks.len(), |at| self.lowest + at);
        self.lowest
    }

    fn begin(&mut self, range: Range<usize>) {
        self.kept -=
            self.chunks[range.clone()].iter().map(|chunk| usize::from(*chunk == KEPT)).sum::<usize>();
        self.used += range.len();
        self.chunks[range].fill(USED);
    }

    /// The next free chunks in a row, from this one on.
    fn gap(&self, from: usize) -> Option<Range<usize>> {
        let is_free = |at: &usize| is_free(self.chunks[*at]);
        let start = (from..self.chunks.len()).find(is_free)?;
        Some(start..(start..self.chunks.len()).take_while(is_free).last()? + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(chunks: usize) -> Reserve {
        Reserve::new(Mapping::new(chunks * CHUNK_BYTES).unwrap())
    }

    fn is_mapped(address: *mut u8) -> bool {
        let mut resident = 0;
        // SAFETY: asks about an address, and touches nothing.
        unsafe { libc::mincore(address.cast(), 1, &raw mut resident) == 0 }
    }

    #[test]
    fn what_is_given_back_is_the_next_ones_and_the_lowest_first() {
        let reserve = reserve(8);
        let found: Vec<_> = [2, 1, 3].map(|wanted| reserve.find(wanted)).into();
        assert_eq!(found, [Some(0), Some(2), Some(3)]);
        reserve.give_back(0..2, 0);
        assert_eq!([1, 2, 1].map(|wanted| reserve.find(wanted)), [Some(0), Some(6), Some(1)]);
        assert_eq!((reserve.find(1), reserve.bytes()), (None, (8 * CHUNK_BYTES, 0)));
    }

    #[test]
    fn memory_beyond_what_is_kept_is_given_back_what_others_keep_counted_in() {
        let reserve = reserve(4);
        assert_eq!(reserve.find(2), Some(0));
        for chunk in 0..2 {
            // SAFETY: the chunk is in use, by this test.
            unsafe { reserve.at(chunk).write(7) };
        }
        reserve.give_back(0..1, KEPT_BYTES);
        reserve.give_back(1..2, KEPT_BYTES - CHUNK_BYTES);
        // SAFETY: both are mapped, and nobody writes.
        assert_eq!([0, 1].map(|chunk| unsafe { reserve.at(chunk).read() }), [0, 7]);
        assert_eq!(reserve.bytes(), (0, CHUNK_BYTES));
    }

    #[test]
    fn what_is_over_keeps_only_what_is_in_use_and_then_nothing() {
        let reserve = reserve(3 * LEAST_GAP);
        assert!(reserve.claim(LEAST_GAP..LEAST_GAP + 1));
        // SAFETY: the chunk is in use, by this test.
        unsafe { reserve.at(LEAST_GAP).write(7) };
        reserve.retire();
        let mapped =
            || [0, LEAST_GAP - 1, LEAST_GAP, LEAST_GAP + 1].map(|chunk| is_mapped(reserve.at(chunk)));
        assert_eq!(mapped(), [false, false, true, false]);
        // SAFETY: as above.
        assert_eq!(unsafe { reserve.at(LEAST_GAP).read() }, 7);
        assert_eq!((reserve.find(1), reserve.claim(0..1)), (None, false));
        reserve.give_back(LEAST_GAP..LEAST_GAP + 1, 0);
        assert_eq!(reserve.bytes(), (0, 0));
    }

    #[test]
    fn the_last_of_what_is_over_is_unmapped_with_what_lies_beside_it() {
        let reserve = reserve(LEAST_GAP);
        assert!(reserve.claim(0..1) && reserve.claim(LEAST_GAP / 2..LEAST_GAP / 2 + 1));
        reserve.retire();
        reserve.give_back(LEAST_GAP / 2..LEAST_GAP / 2 + 1, 0);
        assert!(is_mapped(reserve.at(LEAST_GAP / 2)), "the piece is too small");
        reserve.give_back(0..1, 0);
        assert!(!is_mapped(reserve.at(0)) && !is_mapped(reserve.at(LEAST_GAP - 1)));
    }
}
