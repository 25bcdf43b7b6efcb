// SPDX-License-Identifier: Apache-2.0
//! A count that several threads add to and nobody waits for.

use crate::sync::{AtomicU64, Ordering};

/// Counts events; orders nothing.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
