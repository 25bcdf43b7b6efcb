// SPDX-License-Identifier: Apache-2.0
//! Whether this process is a fork of one that a guest runs in: it has a copy of everything, and no part in the rings.

use std::sync::{
    Once,
    // Not from the seam: a static, which no other word is read or written with.
    atomic::{AtomicBool, Ordering},
};

static IS_FORK: AtomicBool = AtomicBool::new(false);

/// Has forks of this process known as such from now on.
pub fn notice() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler does nothing but store a word, and this code is never unmapped.
        // Without memory for that, forks are not told apart.
        unsafe { libc::pthread_atfork(None, None, Some(mark)) };
    });
}

extern "C" fn mark() {
    IS_FORK.store(true, Ordering::Relaxed);
}

/// Whether this process is a fork of one that was to notice.
#[inline]
pub fn is_fork() -> bool {
    IS_FORK.load(Ordering::Relaxed)
}
