// SPDX-License-Identifier: Apache-2.0
//! What a call has beyond its request and its answer: who waits for its events, and what goes back
//! with the answer.
//!
//! The host tells [`tell`] of events under locks of its own. So [`Watch::waiters`] is never locked
//! while the host is called; [`Watch::open`] is, and `tell` does not touch it.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::task::Waker;

use polyloop_abi::{EVENT_CANCELLED, EVENT_CREDIT, EVENT_INPUT};

use crate::runtime::{Runtime, lock};

/// What a call shares with the host's watcher and with its [`crate::Input`]. The call keeps it
/// until it is answered.
pub struct Watch {
    task: u64,
    begun: Once,
    waiters: Mutex<Waiters>,
    /// Whether the call is unanswered: items of its stream are valid while this is locked and true.
    open: Mutex<bool>,
    /// The context that goes back with the answer.
    notes: Mutex<BTreeMap<String, String>>,
}

#[derive(Default)]
struct Waiters {
    cancelled: bool,
    /// The future that answers the call: waits for cancellation, and for credit.
    body: Option<Waker>,
    /// Whoever reads the input, wherever that is.
    input: Option<Waker>,
}

impl Watch {
    /// Of a task that is not answered yet.
    pub fn new(task: u64) -> Arc<Self> {
        let (begun, waiters, open, notes) =
            (Once::new(), Mutex::default(), Mutex::new(true), Mutex::default());
        Arc::new(Self { task, begun, waiters, open, notes })
    }

    /// The task.
    pub fn task(&self) -> u64 {
        self.task
    }

    /// Has the host tell of events from now on, if it does not yet.
    pub fn begin(self: &Arc<Self>, runtime: &Runtime) {
        self.begun.call_once(|| {
            let context = Arc::as_ptr(self).cast_mut().cast::<c_void>();
            // SAFETY: the call keeps `self` until `respond` has returned, and no watcher runs after
            // that.
            unsafe { runtime.watch(self.task, tell, context) };
        });
    }

    /// Wakes the body at the next credit or at the cancellation; true if that was before.
    pub fn body_waits(&self, waker: &Waker) -> bool {
        let mut waiters = lock(&self.waiters);
        let (cancelled, old) = (waiters.cancelled, replace(&mut waiters.body, waker));
        drop(waiters);
        // Dropped without the lock: a waker may be anybody's.
        drop(old);
        cancelled
    }

    /// Wakes who reads the input at the next item, at its end, or at the cancellation.
    pub fn input_waits(&self, waker: &Waker) {
        let old = replace(&mut lock(&self.waiters).input, waker);
        drop(old);
    }

    /// Whether a cancellation was heard of.
    pub fn is_cancelled(&self) -> bool {
        lock(&self.waiters).cancelled
    }

    /// Keeps the call from being answered while the guard lives; false if that was answered before.
    pub fn open(&self) -> MutexGuard<'_, bool> {
        lock(&self.open)
    }

    /// The context that goes back with the answer.
    pub fn notes(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        lock(&self.notes)
    }

    /// The call is about to be answered: items are not touched any more.
    pub fn close(&self) {
        *lock(&self.open) = false;
        let waiting = lock(&self.waiters).input.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

fn replace(slot: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match slot {
        Some(current) if current.will_wake(waker) => None,
        _ => slot.replace(waker.clone()),
    }
}

/// The watcher that the host calls.
///
/// # Safety
/// `context` is a [`Watch`] that lives until this returns.
unsafe extern "C" fn tell(context: *mut c_void, events: u32) {
    // SAFETY: the caller's word.
    let watch = unsafe { &*context.cast::<Watch>() };
    let mut waiters = lock(&watch.waiters);
    waiters.cancelled |= events & EVENT_CANCELLED != 0;
    let body = if events & (EVENT_CREDIT | EVENT_CANCELLED) == 0 { None } else { waiters.body.take() };
    let input = if events & (EVENT_INPUT | EVENT_CANCELLED) == 0 { None } else { waiters.input.take() };
    drop(waiters);
    for waker in [body, input].into_iter().flatten() {
        waker.wake();
    }
}
