// SPDX-License-Identifier: Apache-2.0
//! Where a guest takes its tasks and hands in its answers.

use std::{cell::RefCell, thread::LocalKey};

use polyloop_ring::{Taken, Taker};

use crate::{
    connection::{Connection, Event, Task},
    error::ErrorObject,
};

/// What the threads of a guest come to: a [`Connection`], or a [`crate::HostTable`] of several.
pub trait TaskSource: Send + Sync + Sized + 'static {
    /// How a thread waits here.
    type Waiter: Default;

    /// The calling thread's, with the address of the source that it is for: threads seldom serve
    /// two.
    fn waiters() -> &'static LocalKey<RefCell<(usize, Self::Waiter)>>;

    /// Takes the next task for a guest thread; `Err` is what the thread got instead.
    ///
    /// # Errors
    /// [`Taken::Empty`] or [`Taken::Stopped`].
    fn take(&self, waiter: &mut Self::Waiter, wait: bool) -> Result<Task, Taken>;

    /// The connection that a task or an item is of, and what it is called there. `None`: there is
    /// none.
    fn with<R>(&self, task: u64, act: impl FnOnce(&Connection, u64) -> R) -> Option<R>;

    /// What an item of a task's connection is called here.
    fn beside(&self, task: u64, item: u64) -> u64;

    /// The guest is initialised. `false`: that was said before.
    fn ready(&self, manifest: &[u8]) -> bool;

    /// The guest reports why it cannot start, or that it died.
    fn fail(&self, error: &[u8]);

    /// Keeps what a guest prints for the host's streams.
    fn log(&self, stream: u32, text: &[u8]);

    /// What the guest declared.
    fn manifest(&self) -> Option<&str>;

    /// Why the guest cannot start, or that it died.
    fn failure(&self) -> Option<&ErrorObject>;

    /// Tells the host, or all of them, of an event.
    fn event(&self, event: Event);

    /// Has guest threads leave once nothing waits.
    fn stop(&self);

    /// Whether the guest still uses memory of a request: then it must outlive the source.
    fn lends(&self) -> bool;
}

thread_local! {
    static OF_CONNECTIONS: RefCell<(usize, Taker)> = RefCell::default();
}

impl TaskSource for Connection {
    type Waiter = Taker;

    fn waiters() -> &'static LocalKey<RefCell<(usize, Taker)>> {
        &OF_CONNECTIONS
    }

    fn take(&self, taker: &mut Taker, wait: bool) -> Result<Task, Taken> {
        self.take(taker, wait)
    }

    #[inline]
    fn with<R>(&self, task: u64, act: impl FnOnce(&Connection, u64) -> R) -> Option<R> {
        Some(act(self, task))
    }

    fn beside(&self, _task: u64, item: u64) -> u64 {
        item
    }

    fn ready(&self, manifest: &[u8]) -> bool {
        self.ready(manifest)
    }

    fn fail(&self, error: &[u8]) {
        self.fail(error);
    }

    fn log(&self, stream: u32, text: &[u8]) {
        self.log(stream, text);
    }

    fn manifest(&self) -> Option<&str> {
        self.manifest()
    }

    fn failure(&self) -> Option<&ErrorObject> {
        self.failure()
    }

    fn event(&self, event: Event) {
        self.event(event);
    }

    fn stop(&self) {
        self.stop();
    }

    fn lends(&self) -> bool {
        self.lends()
    }
}
