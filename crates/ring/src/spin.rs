// SPDX-License-Identifier: Apache-2.0
//! Waiting for the partner without sleeping, for as long as that pays.

use std::time::{Duration, Instant};

use crate::{
    layout::CachePadded,
    sync::{Ordering, relax},
};

/// The longest that either side spins before it sleeps.
pub const LONGEST: Duration = Duration::from_micros(50);
/// A partner that last ran on our own processor gets that at once; one that seems to have a
/// processor of its own may have lost it, so yield now and then.
const APART: Duration = Duration::from_micros(10);
/// After this many misses in a row only one wait in `PROBE` spins.
const MISSES: u32 = 8;
const PROBE: u32 = 64;
/// After this many hits in a row spinning pays.
const HITS: u32 = 16;
/// A yield that takes this long went to neither side: others want the processors, and to them a
/// spinner that yields comes last, while a sleeper that is woken comes first.
const CROWDED: Duration = Duration::from_millis(1);
/// How long a crowded side does not spin, at first and at most.
const REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How a spin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spun {
    /// What the spinner waited for has come.
    Met,
    /// The window is over.
    Missed,
    /// Others have the processors, whether that has come or not.
    Crowded,
}

/// How long to spin: the whole window while spinning pays, seldom once it does not, and not at all
/// for a while when the processors are busy with others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    misses: u32,
    hits: u32,
    never: bool,
    rest: Duration,
    until: Option<Instant>,
}

impl Window {
    /// A window that stays shut.
    pub fn never() -> Self {
        Self { never: true, ..Self::default() }
    }

    /// The time to spin now; zero: sleep at once.
    pub fn length(&mut self) -> Duration {
        // A model has no time, and sleeps at once: that is the part that can go wrong.
        if cfg!(loom) || self.never || self.until.is_some_and(|until| Instant::now() < until) {
            return Duration::ZERO;
        }
        self.until = None;
        if self.misses < MISSES || self.misses.is_multiple_of(PROBE) {
            return LONGEST;
        }
        self.misses = self.misses.wrapping_add(1).max(MISSES);
        Duration::ZERO
    }

    /// Whether several spins in a row have met what they waited for.
    pub fn pays(&self) -> bool {
        self.hits >= HITS
    }

    /// Learns from a spin.
    pub fn learn(&mut self, spun: Spun) {
        match spun {
            Spun::Met => {
                (self.misses, self.rest) = (0, Duration::ZERO);
                self.hits = self.hits.saturating_add(1);
            }
            Spun::Missed => (self.misses, self.hits) = (self.misses.wrapping_add(1).max(1), 0),
            Spun::Crowded => {
                self.hits = 0;
                self.rest = (self.rest * 2).clamp(REST, LONGEST_REST);
                self.until = Some(Instant::now() + self.rest);
            }
        }
    }
}

/// Spins until `done`, `window` at most. `mine` is told where this thread runs, `theirs` tells
/// where the partner does: two spinners on one processor would each keep the other from its work.
pub fn spin(
    window: Duration,
    mine: &CachePadded,
    theirs: &CachePadded,
    mut done: impl FnMut() -> bool,
) -> Spun {
    if done() {
        return Spun::Met;
    }
    if window.is_zero() {
        return Spun::Missed;
    }
    let start = Instant::now();
    let mut yielded = Duration::ZERO;
    loop {
        for _ in 0..4 {
            relax();
            if done() {
                return Spun::Met;
            }
        }
        let spent = start.elapsed();
        if spent >= window {
            return Spun::Missed;
        }
        let together = publish(mine) == theirs.0.load(Ordering::Relaxed);
        if together || spent.saturating_sub(yielded) >= APART {
            yield_now();
            yielded = start.elapsed();
            if yielded.saturating_sub(spent) >= CROWDED {
                return Spun::Crowded;
            }
        }
    }
}

/// Publishes the processor that this thread runs on and returns it.
pub fn publish(mine: &CachePadded) -> u32 {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_window_shuts_after_misses_and_opens_with_the_first_hit() {
        let mut window = Window::default();
        for _ in 0..MISSES {
            assert_eq!(window.length(), LONGEST);
            window.learn(Spun::Missed);
        }
        let tries = (0..PROBE * 4).filter(|_| {
            let open = !window.length().is_zero();
            if open {
                window.learn(Spun::Missed);
            }
            open
        });
        assert!(tries.count() <= 5, "it tries seldom while it misses");
        window.learn(Spun::Met);
        assert_eq!(window.length(), LONGEST);
    }

    #[test]
    fn spinning_pays_after_hits_in_a_row() {
        let mut window = Window::default();
        for _ in 0..HITS {
            assert!(!window.pays());
            window.learn(Spun::Met);
        }
        assert!(window.pays());
        window.learn(Spun::Missed);
        assert!(!window.pays());
    }

    #[test]
    fn a_crowded_side_rests_and_longer_each_time() {
        let mut window = Window::default();
        window.learn(Spun::Crowded);
        assert_eq!(window.length(), Duration::ZERO);
        let first = window.rest;
        window.learn(Spun::Crowded);
        assert_eq!(window.rest, first * 2);
        for _ in 0..20 {
            window.learn(Spun::Crowded);
        }
        assert_eq!(window.rest, LONGEST_REST);
    }

    #[test]
    fn a_window_that_stays_shut_never_opens() {
        let mut window = Window::never();
        window.learn(Spun::Met);
        assert_eq!(window.length(), Duration::ZERO);
    }
}
