// SPDX-License-Identifier: Apache-2.0
//! The seam that loom replaces: every atomic and lock of the crate comes from here.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

/// Stores a word so that every later load of this thread comes after it in the one order that all
/// threads agree on: the first half of a Dekker pair, whose second is a `SeqCst` load.
///
/// An exchange, which is what x86 makes of a sequentially consistent store. Loom loses track of a
/// word's order of modification when plain stores mix with exchanges; and loom treats sequentially
/// consistent accesses as acquire and release, knowing the one order from fences alone: so the
/// model says with a fence what the real code says with the access.
#[inline]
pub(crate) fn store_before_looking(word: &AtomicU32, value: u32) {
    word.swap(value, Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// [`store_before_looking`] for adding to a count.
pub(crate) fn add_before_looking(word: &AtomicU32, value: u32) {
    word.fetch_add(value, Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// One turn of a busy wait.
#[inline]
pub(crate) fn relax() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}
