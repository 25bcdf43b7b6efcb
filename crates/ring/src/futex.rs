// SPDX-License-Identifier: Apache-2.0
//! Sleeping on a word of shared memory.
//!
//! The futexes are process-shared: a block may be mapped by two processes.

#[cfg(not(loom))]
use crate::sync::AtomicU32;

/// Sleeps while `word` holds `expected`, until a wake. Returns early for any reason: look again.
#[cfg(not(loom))]
pub fn wait(word: &AtomicU32, expected: u32) {
    // SAFETY: the word outlives the call, and FUTEX_WAIT reads it only.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(word),
            libc::FUTEX_WAIT,
            expected,
            std::ptr::null::<libc::timespec>(),
        );
    }
}

/// Wakes at most `count` sleepers of `word`.
#[cfg(not(loom))]
pub fn wake(word: &AtomicU32, count: i32) {
    // SAFETY: FUTEX_WAKE uses the word's address only.
    unsafe {
        libc::syscall(libc::SYS_futex, std::ptr::from_ref(word), libc::FUTEX_WAKE, count);
    }
}

/// Loom's stand-in: one lock and one condition for all words, with the kernel's contract, that the
/// comparison and going to sleep are one step to a waker.
#[cfg(loom)]
mod model {
    use crate::sync::{AtomicU32, Ordering};
    use loom::sync::{Condvar, Mutex};

    loom::lazy_static! {
        static ref BED: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    /// Sleeps while `word` holds `expected`.
    pub fn wait(word: &AtomicU32, expected: u32) {
        let guard = BED.0.lock().unwrap();
        if word.load(Ordering::SeqCst) == expected {
            drop(BED.1.wait(guard).unwrap());
        }
    }

    /// Wakes every sleeper: more than asked for, which a sleeper must bear.
    pub fn wake(_word: &AtomicU32, _count: i32) {
        let _guard = BED.0.lock().unwrap();
        BED.1.notify_all();
    }
}
#[cfg(loom)]
pub use model::{wait, wake};
