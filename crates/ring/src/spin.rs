// SPDX-License-Identifier: Apache-2.0
//! Waiting for the partner without sleeping, for as long as it pays.

use std::time::{Duration, Instant};

use crate::{
    layout::Line,
    sync::{Ordering, relax},
};

/// The longest that either side spins before it sleeps.
pub const LONGEST: Duration = Duration::from_micros(50);
/// A partner that last ran on our own processor gets it at once; one that seems to have a processor
/// of its own may have lost it, so yield now and then.
const APART: Duration = Duration::from_micros(10);
/// After this many misses in a row only one wait in `PROBE` spins.
const MISSES: u32 = 8;
const PROBE: u32 = 64;

/// How long to spin: the whole window while spinning pays, seldom once it does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    misses: u32,
    never: bool,
}

impl Window {
    /// A window that stays shut.
    pub fn never() -> Self {
        Self { misses: 0, never: true }
    }

    /// The time to spin now; zero: sleep at once.
    pub fn length(&mut self) -> Duration {
        // A model has no time: it sleeps at once, which is the part that can go wrong.
        if cfg!(loom) || self.never {
            return Duration::ZERO;
        }
        if self.misses < MISSES || self.misses.is_multiple_of(PROBE) {
            return LONGEST;
        }
        self.misses = self.misses.wrapping_add(1).max(MISSES);
        Duration::ZERO
    }

    /// Says whether the last spin met what it waited for.
    pub fn met(&mut self, hit: bool) {
        self.misses = if hit { 0 } else { self.misses.wrapping_add(1).max(1) };
    }
}

/// Spins until `done`, `window` at most. `mine` is told where this thread runs, `theirs` tells where
/// the partner does: two spinners on one processor would each keep the other from its work.
pub fn spin(window: Duration, mine: &Line, theirs: &Line, mut done: impl FnMut() -> bool) -> bool {
    if done() {
        return true;
    }
    if window.is_zero() {
        return false;
    }
    let start = Instant::now();
    let mut yielded = Duration::ZERO;
    loop {
        for _ in 0..4 {
            relax();
            if done() {
                return true;
            }
        }
        let spent = start.elapsed();
        if spent >= window {
            return false;
        }
        let together = publish(mine) == theirs.0.load(Ordering::Relaxed);
        if together || spent.saturating_sub(yielded) >= APART {
            yield_now();
            yielded = spent;
        }
    }
}

/// Publishes the processor that this thread runs on and returns it.
pub fn publish(mine: &Line) -> u32 {
    let cpu = current_cpu();
    if mine.0.load(Ordering::Relaxed) != cpu {
        mine.0.store(cpu, Ordering::Relaxed);
    }
    cpu
}

#[cfg(not(loom))]
fn current_cpu() -> u32 {
    // SAFETY: no arguments; reads the thread's own restartable-sequence area.
    unsafe { libc::sched_getcpu() }.cast_unsigned()
}

#[cfg(loom)]
fn current_cpu() -> u32 {
    0
}

fn yield_now() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}
