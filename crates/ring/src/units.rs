// SPDX-License-Identifier: Apache-2.0
//! The table of an arena's units, a word for each: the guest marks what it takes, the host what it is done with.

use crate::sync::{AtomicU32, Ordering};

/// What fresh memory says.
const FREE: u32 = 0;
const TAKEN: u32 = 1;

/// Takes units in a row: the first of them. Unit 0 is never free. One thread at a time.
pub(crate) fn take(table: &[AtomicU32], wanted: usize) -> Option<usize> {
    let mut run = 0;
    // The lowest that are free: the ones used last, and so the warmest.
    for unit in 1..table.len() {
        // SYNC POINT unit
        run = if table[unit].load(Ordering::Acquire) == FREE { run + 1 } else { 0 };
        if run == wanted {
            let first = unit + 1 - wanted;
            for unit in &table[first..=unit] {
                unit.store(TAKEN, Ordering::Relaxed);
            }
            return Some(first);
        }
    }
    None
}

/// Marks units as free, which the host has read for the last time.
pub(crate) fn give_back(units: &[AtomicU32]) {
    for unit in units {
        // SYNC POINT unit
        unit.store(FREE, Ordering::Release);
    }
}
