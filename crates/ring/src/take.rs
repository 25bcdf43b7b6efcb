// SPDX-License-Identifier: Apache-2.0
//! How guest threads wait for tasks.
//!
//! One thread at a time polls: it spins, then sleeps on `sleep`, which the host looks at after every
//! submission. A poller that takes a task gives the role up; whoever finishes next takes it over.
//! All other threads sleep as followers. A host that sees tasks waiting while no thread polls (the
//! last poller is in a slow function) wakes one follower by [`crate::submission::help`]; a follower
//! that was woken and finds more tasks than its own wakes the next before it starts, and so does a
//! poller that leaves while the host sleeps.

use crate::{
    Rings,
    entry::Submission,
    futex,
    layout::Header,
    spin::{self, Spun, Window},
    submission::{is_empty, pop, stopped, wake_follower},
    sync::{Ordering, add_before_looking, relax, store_before_looking},
};

/// What a thread got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A task.
    Task(Submission),
    /// Nothing waits (only where the thread would not).
    Empty,
    /// The runtime is unloaded and its ring is empty.
    Stopped,
}

/// Waiting state of one guest thread.
#[derive(Default)]
pub struct Taker {
    window: Window,
    helping: bool,
    last_move: Option<std::time::Instant>,
}

impl Taker {
    /// A thread that never spins: it sleeps as soon as nothing waits.
    pub fn without_spin() -> Self {
        Self { window: Window::never(), ..Self::default() }
    }

    /// Takes the next task; with `wait` sleeps until there is one.
    pub fn take(&mut self, rings: Rings<'_>, wait: bool) -> Taken {
        loop {
            if let Some(entry) = pop(rings) {
                self.share(rings.header);
                return Taken::Task(entry);
            }
            if stopped(rings.header) {
                // What was submitted before the stop is served: look again, now that it is seen.
                return pop(rings).map_or(Taken::Stopped, Taken::Task);
            }
            if !wait {
                return Taken::Empty;
            }
            if become_poller(rings.header) {
                self.poll(rings.header);
                // SYNC POINT idle; SYNC POINT help
                store_before_looking(&rings.header.poller.0, 0);
                // A host that sleeps has looked before: it does not see that nobody polls any more.
                self.helping |= rings.header.armed.0.load(Ordering::SeqCst) == 1;
            } else {
                self.helping |= follow(rings.header);
            }
        }
    }

    /// Wakes the next follower where there is more to do than this thread can, and the host may not see it.
    fn share(&mut self, header: &Header) {
        if std::mem::take(&mut self.helping) && !is_empty(header) && header.idle.0.load(Ordering::SeqCst) > 0
        {
            wake_follower(header, 1);
        }
    }

    /// Spins, then sleeps, until a submission or the stop.
    fn poll(&mut self, header: &Header) {
        let awaited = || !is_empty(header) || stopped(header);
        let window = self.window.length();
        self.move_away(header);
        if !window.is_zero() {
            let spun = spin::spin(window, &header.guest_cpu, &header.host_cpu, awaited);
            self.window.learn(spun);
            if spun == Spun::Met {
                return;
            }
        }
        // SYNC POINT guest-sleep
        store_before_looking(&header.sleep.0, 1);
        // The second look: a submission that was published before the store above rang no bell.
        while !awaited() && header.sleep.0.load(Ordering::SeqCst) == 1 {
            futex::wait(&header.sleep.0, 1);
        }
        header.sleep.0.store(0, Ordering::SeqCst);
    }

    /// Leaves the processor of the host's loop, at most once in 5 ms: on one processor a call costs
    /// two switches, on two none.
    #[cfg(not(loom))]
    fn move_away(&mut self, header: &Header) {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
        let host = header.host_cpu.0.load(Ordering::Relaxed);
        if spin::publish(&header.guest_cpu) != host || self.last_move.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        self.last_move = Some(std::time::Instant::now());
        affinity::avoid(host as usize);
    }

    #[cfg(loom)]
    fn move_away(&mut self, _header: &Header) {
        self.last_move = None;
    }
}

fn become_poller(header: &Header) -> bool {
    let poller = &header.poller.0;
    poller.load(Ordering::SeqCst) == 0
        && poller.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// Sleeps as a follower; `true` where somebody woke it to help.
fn follow(header: &Header) -> bool {
    let seq = header.idle_seq.0.load(Ordering::SeqCst);
    // SYNC POINT idle
    add_before_looking(&header.idle.0, 1);
    // The second look: the poller may have left, or tasks or the stop have come, before we counted.
    let sleep = is_empty(header) && header.poller.0.load(Ordering::SeqCst) == 1 && !stopped(header);
    if sleep {
        futex::wait(&header.idle_seq.0, seq);
    }
    header.idle.0.fetch_sub(1, Ordering::SeqCst);
    if !sleep {
        relax();
    }
    sleep && header.idle_seq.0.load(Ordering::SeqCst) != seq
}

#[cfg(not(loom))]
mod affinity {
    /// Moves the calling thread off `cpu` where it may run elsewhere, then lifts the ban again.
    pub(super) fn avoid(cpu: usize) {
        const SIZE: usize = size_of::<libc::cpu_set_t>();
        if cpu >= SIZE * 8 {
            return;
        }
        // SAFETY: a cpu_set_t is plain bits, for which zero is a value; the calls read and write
        // exactly SIZE bytes of it, and 0 names the calling thread.
        unsafe {
            let mut allowed: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(0, SIZE, &raw mut allowed) != 0 {
                return;
            }
            let mut other = allowed;
            libc::CPU_CLR(cpu, &mut other);
            if libc::CPU_COUNT(&other) > 0 && libc::sched_setaffinity(0, SIZE, &raw const other) == 0 {
                libc::sched_setaffinity(0, SIZE, &raw const allowed);
            }
        }
    }
}
