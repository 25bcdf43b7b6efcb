// SPDX-License-Identifier: Apache-2.0
//! How guest threads wait for tasks.
//!
//! One thread at a time polls: it spins, then sleeps on `sleep`, which the host looks at after every
//! submission. A poller that takes a task gives the role up; whoever finishes next takes it over.
//! All other threads sleep as followers. A host that sees tasks waiting while no thread polls (the
//! last poller is in a slow function) wakes one follower by [`crate::submission::help`]; a follower
//! that was woken and finds more tasks than its own wakes the next before it starts, and so does a
//! poller that leaves while the host sleeps.
//!
//! Where one guest serves several blocks, its threads wait by the words of one porch that all their hosts map, and look
//! at every block ([`Source`]).

use crate::{
    Rings,
    entry::Submission,
    futex,
    layout::{Header, Line},
    spin::{self, Spun, Window},
    submission::{is_empty, pop, stopped, wake_follower},
    sync::{Ordering, add_before_looking, relax, store_before_looking},
};

/// Where guest threads take tasks from: the rings of one block, or of several.
pub trait Source {
    /// What a task is there.
    type Task;

    /// The words that guest threads wait by.
    fn porch(&self) -> &Header;

    /// Takes a task.
    fn pop(&mut self) -> Option<Self::Task>;

    /// Whether no task waits and the source is what it was at the last [`Source::pop`]: the second look before a thread
    /// sleeps.
    fn is_quiet(&self) -> bool;

    /// Whether a host sleeps that may have submitted something.
    fn host_sleeps(&self) -> bool;

    /// Where the host's loop ran that submitted last.
    fn host_cpu(&self) -> &Line;
}

impl Source for Rings<'_> {
    type Task = Submission;

    fn porch(&self) -> &Header {
        self.porch
    }

    fn pop(&mut self) -> Option<Submission> {
        self.take()
    }

    fn is_quiet(&self) -> bool {
        is_empty(self.header)
    }

    fn host_sleeps(&self) -> bool {
        self.header.armed.0.load(Ordering::SeqCst) == 1
    }

    fn host_cpu(&self) -> &Line {
        &self.header.host_cpu
    }
}

impl Rings<'_> {
    /// Takes the oldest submission, if there is one.
    #[inline]
    pub fn take(&self) -> Option<Submission> {
        pop(*self)
    }
}

/// What a thread got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken<T = Submission> {
    /// A task.
    Task(T),
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
    pub fn take<S: Source>(&mut self, mut source: S, wait: bool) -> Taken<S::Task> {
        loop {
            if let Some(task) = source.pop() {
                self.share(&source);
                return Taken::Task(task);
            }
            if stopped(source.porch()) {
                // What was submitted before the stop is served: look again, now that it is seen.
                return source.pop().map_or(Taken::Stopped, Taken::Task);
            }
            if !wait {
                return Taken::Empty;
            }
            if become_poller(source.porch()) {
                self.poll(&source);
                // SYNC POINT idle; SYNC POINT help
                store_before_looking(&source.porch().poller.0, 0);
                // A host that sleeps has looked before: it does not see that nobody polls any more.
                self.helping |= source.host_sleeps();
            } else {
                self.helping |= follow(&source);
            }
        }
    }

    /// Wakes the next follower where there is more to do than this thread can, and the host may not see it.
    fn share(&mut self, source: &impl Source) {
        if std::mem::take(&mut self.helping)
            && !source.is_quiet()
            && source.porch().idle.0.load(Ordering::SeqCst) > 0
        {
            wake_follower(source.porch(), 1);
        }
    }

    /// Spins, then sleeps, until a submission or the stop.
    fn poll(&mut self, source: &impl Source) {
        let porch = source.porch();
        let awaited = || !source.is_quiet() || stopped(porch);
        let window = self.window.length();
        if !window.is_zero() {
            if self.window.pays() {
                self.move_away(porch, source.host_cpu());
            }
            let spun = spin::spin(window, &porch.guest_cpu, source.host_cpu(), awaited);
            self.window.learn(spun);
            if spun == Spun::Met {
                return;
            }
        }
        // SYNC POINT guest-sleep; SYNC POINT roster
        store_before_looking(&porch.sleep.0, 1);
        // The second look: a submission that was published before the store above rang no bell.
        while !awaited() && porch.sleep.0.load(Ordering::SeqCst) == 1 {
            futex::wait(&porch.sleep.0, 1);
        }
        porch.sleep.0.store(0, Ordering::SeqCst);
    }

    /// Leaves the processor of the host's loop, at most once in 5 ms: on one processor a call costs
    /// two switches, on two none. Not where both sleep between calls anyway: several guests that work
    /// for milliseconds would all meet on the processors that the host's loop leaves free.
    #[cfg(not(loom))]
    fn move_away(&mut self, porch: &Header, host: &Line) {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
        let host = host.get();
        if spin::publish(&porch.guest_cpu) != host || self.last_move.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        self.last_move = Some(std::time::Instant::now());
        affinity::avoid(host as usize);
    }

    #[cfg(loom)]
    fn move_away(&mut self, _porch: &Header, _host: &Line) {
        self.last_move = None;
    }
}

fn become_poller(porch: &Header) -> bool {
    let poller = &porch.poller.0;
    poller.load(Ordering::SeqCst) == 0
        && poller.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// Sleeps as a follower; `true` where somebody woke it to help.
fn follow(source: &impl Source) -> bool {
    let porch = source.porch();
    let seq = porch.idle_seq.0.load(Ordering::SeqCst);
    // SYNC POINT idle
    add_before_looking(&porch.idle.0, 1);
    // The second look: the poller may have left, or tasks or the stop have come, before we counted.
    let sleep = source.is_quiet() && porch.poller.0.load(Ordering::SeqCst) == 1 && !stopped(porch);
    if sleep {
        futex::wait(&porch.idle_seq.0, seq);
    }
    porch.idle.0.fetch_sub(1, Ordering::SeqCst);
    if !sleep {
        relax();
    }
    sleep && porch.idle_seq.0.load(Ordering::SeqCst) != seq
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
