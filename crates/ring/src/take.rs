// SPDX-License-Identifier: Apache-2.0
//! How guest threads wait for tasks.
//!
//! One thread at a time polls: it spins, then sleeps on `sleep`, which the host looks at after
//! every submission. A poller that takes a task gives the role up; whoever finishes next takes it
//! over. All other threads sleep as followers. A host that sees tasks waiting while no thread polls
//! (the last poller is in a slow function) wakes one follower by [`crate::submission::help`]; a
//! follower that was woken and finds more tasks than its own wakes the next before it starts, and
//! so does a poller that leaves while the host sleeps.
//!
//! If one guest serves several blocks, its threads wait by parking words beside them that all their
//! hosts map, and look at every block ([`SubmissionSource`]).

use crate::{
    Rings,
    entry::Submission,
    futex,
    layout::{CachePadded, Header},
    spin::{self, Spun, Window},
    submission::{is_empty, pop, stopped, wake_follower},
    sync::{Ordering, add_before_looking, relax, store_before_looking},
};

/// Where guest threads take tasks from: the rings of one block, or of several.
pub trait SubmissionSource {
    /// What a task is there.
    type Task;

    /// The words that guest threads wait by.
    fn parking(&self) -> &Header;

    /// Takes a task.
    fn pop(&mut self) -> Option<Self::Task>;

    /// Whether no task waits and the source is what it was at the last [`SubmissionSource::pop`]:
    /// the second look before a thread sleeps.
    fn is_quiet(&self) -> bool;

    /// Whether a host sleeps that may have submitted something.
    fn host_sleeps(&self) -> bool;

    /// Where the host's loop ran that submitted last.
    fn host_cpu(&self) -> &CachePadded;
}

impl SubmissionSource for Rings<'_> {
    type Task = Submission;

    fn parking(&self) -> &Header {
        self.parking
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

    fn host_cpu(&self) -> &CachePadded {
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
    /// Nothing waits, and the thread would not.
    Empty,
    /// Guest threads are to leave, and the ring is empty.
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
    pub fn take<S: SubmissionSource>(&mut self, mut source: S, wait: bool) -> Taken<S::Task> {
        loop {
            if let Some(task) = source.pop() {
                self.share(&source);
                return Taken::Task(task);
            }
            if stopped(source.parking()) {
                // What was submitted before the stop is served: look again, now that it is seen.
                return source.pop().map_or(Taken::Stopped, Taken::Task);
            }
            if !wait {
                return Taken::Empty;
            }
            if become_poller(source.parking()) {
                self.poll(&source);
                // SYNC POINT idle; SYNC POINT help
                store_before_looking(&source.parking().poller.0, 0);
                // A host that sleeps has looked before: it does not see that nobody polls any more.
                self.helping |= source.host_sleeps();
            } else {
                self.helping |= follow(&source);
            }
        }
    }

    /// Wakes the next follower when there is more to do than this thread can, and the host may not
    /// see it.
    fn share(&mut self, source: &impl SubmissionSource) {
        if std::mem::take(&mut self.helping)
            && !source.is_quiet()
            && source.parking().idle.0.load(Ordering::SeqCst) > 0
        {
            wake_follower(source.parking(), 1);
        }
    }

    /// Spins, then sleeps, until a submission or the stop.
    fn poll(&mut self, source: &impl SubmissionSource) {
        let parking = source.parking();
        let awaited = || !source.is_quiet() || stopped(parking);
        let window = self.window.length();
        if !window.is_zero() {
            if self.window.pays() {
                self.move_away(parking, source.host_cpu());
            }
            let spun = spin::spin(window, &parking.guest_cpu, source.host_cpu(), awaited);
            self.window.learn(spun);
            if spun == Spun::Met {
                return;
            }
        }
        // SYNC POINT guest-sleep; SYNC POINT versioned-list
        store_before_looking(&parking.sleep.0, 1);
        // The second look: a submission that was published before the store above rang no bell.
        while !awaited() && parking.sleep.0.load(Ordering::SeqCst) == 1 {
            futex::wait(&parking.sleep.0, 1);
        }
        parking.sleep.0.store(0, Ordering::SeqCst);
    }

    /// Leaves the processor of the host's loop, at most once in 5 ms: on one processor a call costs
    /// two switches, on two none. Not if both sleep between calls anyway: several guests that work
    /// for milliseconds would all meet on the processors that the host's loop leaves free.
    #[cfg(not(loom))]
    fn move_away(&mut self, parking: &Header, host: &CachePadded) {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
        let host = host.get();
        if spin::publish(&parking.guest_cpu) != host || self.last_move.is_some_and(|at| at.elapsed() < PAUSE)
        {
            return;
        }
        self.last_move = Some(std::time::Instant::now());
        affinity::avoid(host as usize);
    }

    #[cfg(loom)]
    fn move_away(&mut self, _parking: &Header, _host: &CachePadded) {
        self.last_move = None;
    }
}

fn become_poller(parking: &Header) -> bool {
    let poller = &parking.poller.0;
    poller.load(Ordering::SeqCst) == 0
        && poller.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// Sleeps as a follower; `true` if somebody woke it to help.
fn follow(source: &impl SubmissionSource) -> bool {
    let parking = source.parking();
    let seq = parking.idle_seq.0.load(Ordering::SeqCst);
    // SYNC POINT idle
    add_before_looking(&parking.idle.0, 1);
    // The second look: the poller may have left, or tasks or the stop have come, before we counted.
    let sleep = source.is_quiet() && parking.poller.0.load(Ordering::SeqCst) == 1 && !stopped(parking);
    if sleep {
        futex::wait(&parking.idle_seq.0, seq);
    }
    parking.idle.0.fetch_sub(1, Ordering::SeqCst);
    if !sleep {
        relax();
    }
    sleep && parking.idle_seq.0.load(Ordering::SeqCst) != seq
}

#[cfg(not(loom))]
mod affinity {
    /// Moves the calling thread off `cpu` if it may run elsewhere, then lifts the ban again.
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
