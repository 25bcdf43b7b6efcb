// SPDX-License-Identifier: Apache-2.0
//! Where requests lie that are too large for their carrier, and whose guest has a process of its own: the host copies
//! them here, or has written them here in the first place, and the guest reads them in place. So does a guest in the
//! host's process with what was written here.
//!
//! One file in memory, which takes memory as it is touched. Up to a megabyte a parcel has a place of a power of two,
//! which the next of its size gets again; a larger one has whole megabytes. An address is an offset in the file.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use crate::{
    region::{Access, Mapping, file},
    sync::Mutex,
};

const UNIT: usize = 1 << 20;
/// 64 GiB of address space.
const UNITS: usize = 65_536;
/// Smallest place; a request that is smaller fits its carrier.
const SMALLEST: usize = 8 << 10;
const CLASSES: usize = (UNIT / SMALLEST).ilog2() as usize + 1;
/// Units of large parcels whose memory is kept.
const KEPT_UNITS: usize = 128;

/// The places of one runtime's requests.
pub struct Parcels {
    memory: Mapping,
    state: Mutex<State>,
}

struct State {
    /// Free places of each size; the last one freed is the warmest.
    free: [Vec<usize>; CLASSES],
    /// Which units are in use: by small places for good, by a large one until it is freed.
    used: Vec<bool>,
    /// Which free units may have memory.
    kept: Vec<bool>,
    kept_count: usize,
}

/// A request in its place, which is free again when this is dropped.
pub struct Parcel {
    owner: Arc<Parcels>,
    offset: usize,
    len: usize,
}

fn class(len: usize) -> Option<usize> {
    let size = len.next_power_of_two().max(SMALLEST);
    (size <= UNIT).then(|| (size / SMALLEST).ilog2() as usize)
}

impl Parcels {
    /// No requests, and the file for them.
    ///
    /// # Errors
    /// Where its address space cannot be had.
    pub fn new() -> io::Result<(Arc<Self>, OwnedFd)> {
        let file = file(c"polyloop-requests", UNITS * UNIT)?;
        let memory = Mapping::of(file.as_fd(), Access::Write)?;
        let mut used = vec![false; UNITS];
        // So that no address is 0.
        used[0] = true;
        let state = State {
            free: std::array::from_fn(|_| Vec::new()),
            used,
            kept: vec![false; UNITS],
            kept_count: 0,
        };
        Ok((Arc::new(Self { memory, state: Mutex::new(state) }), file))
    }

    /// A place for a request of so many bytes, which say whatever the last one there left.
    ///
    /// # Errors
    /// Where there is none.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn reserve(self: &Arc<Self>, len: usize) -> io::Result<Parcel> {
        let found = self.state.lock().unwrap().find(len);
        let offset = found.ok_or_else(|| io::Error::other("requests that are kept fill all places"))?;
        Ok(Parcel { owner: Arc::clone(self), offset, len })
    }

    /// Copies a request to a place of its own.
    ///
    /// # Errors
    /// Where there is none.
    pub fn place(self: &Arc<Self>, request: &[u8]) -> io::Result<Parcel> {
        let parcel = self.reserve(request.len())?;
        // SAFETY: the place is ours alone and as long as the request. A request may lie in another one, never in this.
        unsafe { std::ptr::copy_nonoverlapping(request.as_ptr(), parcel.as_ptr(), request.len()) };
        Ok(parcel)
    }
}

impl Parcel {
    /// Where it lies in the file, never 0.
    pub fn address(&self) -> u64 {
        self.offset as u64
    }

    /// Its first byte. As many as were asked for are the owner's alone, until it is dropped; guests may read them.
    pub fn as_ptr(&self) -> *mut u8 {
        // SAFETY: the place lies in the mapping.
        unsafe { self.owner.memory.as_ptr().add(self.offset) }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let Self { owner, offset, len } = self;
        owner.state.lock().unwrap().free(*offset, *len, &owner.memory);
    }
}

impl State {
    fn find(&mut self, len: usize) -> Option<usize> {
        let Some(class) = class(len) else { return self.run(len.div_ceil(UNIT)).map(|unit| unit * UNIT) };
        if let Some(offset) = self.free[class].pop() {
            return Some(offset);
        }
        let start = self.run(1)? * UNIT;
        let size = SMALLEST << class;
        self.free[class].extend((size..UNIT).step_by(size).rev().map(|at| start + at));
        Some(start)
    }

    /// Free units in a row, now used: the first.
    fn run(&mut self, wanted: usize) -> Option<usize> {
        let mut run = 0;
        for unit in 0..UNITS {
            run = if self.used[unit] { 0 } else { run + 1 };
            if run == wanted {
                let range = unit + 1 - wanted..=unit;
                self.used[range.clone()].fill(true);
                self.kept_count -= self.kept[range.clone()].iter().filter(|kept| **kept).count();
                self.kept[range].fill(false);
                return Some(unit + 1 - wanted);
            }
        }
        None
    }

    fn free(&mut self, offset: usize, len: usize, memory: &Mapping) {
        if let Some(class) = class(len) {
            self.free[class].push(offset);
            return;
        }
        let count = len.div_ceil(UNIT);
        let range = offset / UNIT..offset / UNIT + count;
        if self.kept_count + count <= KEPT_UNITS {
            self.kept[range.clone()].fill(true);
            self.kept_count += count;
        } else {
            memory.forget(offset, count * UNIT);
        }
        self.used[range].fill(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parcels: &Parcels, parcel: &Parcel) -> Vec<u8> {
        // SAFETY: the parcel lies in the mapping, and nobody writes.
        unsafe { std::slice::from_raw_parts(parcels.memory.as_ptr().add(parcel.offset), parcel.len) }.to_vec()
    }

    #[test]
    fn requests_of_every_size_lie_apart_and_whole() {
        let (parcels, _file) = Parcels::new().unwrap();
        let sizes = [1, 8192, 8193, 100_000, UNIT, UNIT + 1, 5 * UNIT, 4097, 1];
        let requests: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, seed)| vec![seed; *size]).collect();
        let placed: Vec<Parcel> = requests.iter().map(|request| parcels.place(request).unwrap()).collect();
        for (request, parcel) in requests.iter().zip(&placed) {
            assert_ne!(parcel.address(), 0);
            assert_eq!(read(&parcels, parcel), *request);
        }
    }

    #[test]
    fn what_is_written_to_a_place_is_read_at_its_address() {
        let (parcels, _file) = Parcels::new().unwrap();
        let (small, large) = (parcels.reserve(0).unwrap(), parcels.reserve(2 * UNIT + 1).unwrap());
        for (parcel, seed) in [(&small, 1), (&large, 2)] {
            // SAFETY: the place is the parcel's.
            unsafe { parcel.as_ptr().write_bytes(seed, parcel.len) };
        }
        assert_eq!(read(&parcels, &large), vec![2; 2 * UNIT + 1]);
        assert_ne!(small.address(), 0);
    }

    #[test]
    fn a_place_that_is_free_again_is_the_next_ones_of_its_size() {
        let (parcels, _file) = Parcels::new().unwrap();
        for size in [10_000, 3 * UNIT] {
            let first = parcels.place(&vec![1; size]).unwrap();
            let address = first.address();
            drop(first);
            assert_eq!(parcels.place(&vec![2; size]).unwrap().address(), address);
        }
    }

    #[test]
    fn the_memory_of_large_parcels_beyond_what_is_kept_is_given_back() {
        let (parcels, _file) = Parcels::new().unwrap();
        let placed: Vec<Parcel> =
            (0..3).map(|_| parcels.place(&vec![7; KEPT_UNITS / 2 * UNIT]).unwrap()).collect();
        let places: Vec<usize> = placed.iter().map(|parcel| parcel.offset).collect();
        drop(placed);
        // SAFETY: within the mapping; nobody writes.
        let left = places.iter().filter(|at| unsafe { parcels.memory.as_ptr().add(**at).read() } == 7);
        assert_eq!(left.count(), 2);
    }

    #[test]
    fn no_place_is_no_panic() {
        let (parcels, _file) = Parcels::new().unwrap();
        assert!(parcels.state.lock().unwrap().find(UNITS * UNIT).is_none());
        assert!(parcels.place(b"small").is_ok());
    }
}
