// SPDX-License-Identifier: Apache-2.0
//! Start and end of a guest, each on a thread of its own: opening a library, importing a module
//! and waiting for guest threads may take long, and no event loop waits for them.

use std::{
    any::Any,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

use crate::{
    connection::{Connection, Event},
    error::{ErrorObject, LONGEST_WORDS},
    task_source::TaskSource,
};

/// What a guest is told at its start.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Threads for sync functions; 0 leaves the number to the guest.
    pub threads: u32,
    /// Configuration in JSON, or empty.
    pub config: String,
    /// Name of the codec.
    pub codec: String,
    /// The loader's own options in JSON, or empty.
    pub loader: String,
}

/// A library that takes tasks from a source.
pub trait Guest<S = Connection>: Send {
    /// Initialises the guest; tasks may be taken from now on.
    ///
    /// # Errors
    /// The rc that the guest failed with; the error object if the guest did not report one by
    /// [`Connection::fail`].
    fn start(&mut self, source: &Arc<S>, options: &StartOptions) -> Result<(), (i32, ErrorObject)>;

    /// Blocks until the guest uses the source no more.
    fn join(self: Box<Self>);

    /// Its heartbeat, which is not to be used any more once `join` is called. Nothing if the guest
    /// has none.
    fn beat(&self) -> Option<Beat> {
        None
    }
}

/// Returns when the guest is able to run code.
pub type Beat = Box<dyn Fn() + Send>;

/// Opens and starts a guest; the source's host hears [`Event::Ready`] or [`Event::Failed`].
/// The guest is handed to `keep` before the host hears of that event, for [`unload`].
///
/// # Errors
/// If no thread can be started.
pub fn load<S, Open, Keep>(
    source: Arc<S>,
    options: StartOptions,
    open: Open,
    keep: Keep,
) -> std::io::Result<()>
where
    S: TaskSource,
    Open: FnOnce() -> Result<Box<dyn Guest<S>>, ErrorObject> + Send + 'static,
    Keep: FnOnce(Box<dyn Guest<S>>) + Send + 'static,
{
    let work = move || {
        let event = match catch_unwind(AssertUnwindSafe(|| start(&source, &options, open, keep))) {
            Ok(Ok(manifest)) => Event::Ready(manifest),
            Ok(Err((rc, error))) => Event::Failed(rc, error),
            Err(panic) => Event::Failed(1, ErrorObject::new("init-failed", &said(panic.as_ref()))),
        };
        source.event(event);
    };
    guest_thread("polyloop-load").spawn(work).map(drop)
}

fn start<S, Open, Keep>(
    source: &Arc<S>,
    options: &StartOptions,
    open: Open,
    keep: Keep,
) -> Result<String, (i32, ErrorObject)>
where
    S: TaskSource,
    Open: FnOnce() -> Result<Box<dyn Guest<S>>, ErrorObject>,
    Keep: FnOnce(Box<dyn Guest<S>>),
{
    let mut guest = open().map_err(|error| (0, error))?;
    let started = guest.start(source, options);
    started.map_err(|(rc, error)| (rc, source.failure().cloned().unwrap_or(error)))?;
    match declared(source.manifest()) {
        Ok(manifest) => {
            keep(guest);
            Ok(manifest)
        }
        Err(error) => {
            // It runs, and nobody will call it.
            source.stop();
            guest.join();
            Err((1, error))
        }
    }
}

fn declared(manifest: Option<&str>) -> Result<String, ErrorObject> {
    match manifest {
        Some(text) if text.len() <= LONGEST_WORDS => Ok(text.to_owned()),
        Some(text) => Err(ErrorObject::new(
            "too-large",
            &format!(
                "the manifest has {} bytes of JSON and may have {LONGEST_WORDS}: declare fewer functions, or \
                 tell less in info",
                text.len()
            ),
        )),
        None => Err(ErrorObject::new("protocol", "the guest's start succeeded without a call of ready()")),
    }
}

/// Stops a source, whose host hears [`Event::Closed`] once the guest has let go of the source.
/// `take` is called once there is a thread for that. It gives the guest, and what the guest may
/// still read until then, which is dropped after that.
///
/// # Errors
/// If no thread can be started: the guest is left as it is, and `take` neither called nor dropped.
pub fn unload<S, Lent>(
    source: Arc<S>,
    take: impl FnOnce() -> (Option<Box<dyn Guest<S>>>, Lent),
) -> std::io::Result<()>
where
    S: TaskSource,
    Lent: Send + 'static,
{
    // Nothing is dropped unless the guest was joined, whatever fails before.
    let take = ManuallyDrop::new(take);
    let (hand, handed) = mpsc::channel::<ManuallyDrop<(Option<Box<dyn Guest<S>>>, Lent)>>();
    let work = move || {
        let Ok(mut rest) = handed.recv() else { return };
        source.stop();
        if let Some(guest) = rest.0.take() {
            guest.join();
        }
        if source.lends() {
            // A view of a request that the guest keeps for good: its memory is never given back.
            std::mem::forget(Arc::clone(&source));
        } else {
            drop(ManuallyDrop::into_inner(rest));
        }
        source.event(Event::Closed);
    };
    guest_thread("polyloop-unload").spawn(work)?;
    // The thread waits for it.
    let _ = hand.send(ManuallyDrop::new(ManuallyDrop::into_inner(take)()));
    Ok(())
}

/// A thread that code of the guest runs on.
fn guest_thread(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into()).stack_size(main_stack())
}

/// The stack that a program's main thread has: what runs there as a program has to run here, too.
fn main_stack() -> usize {
    const USUAL: usize = 8 << 20;
    const LEAST: usize = 2 << 20;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a system call, and a place to write to.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } == 0;
    if known && limit.rlim_cur != libc::RLIM_INFINITY {
        return usize::try_from(limit.rlim_cur).map_or(USUAL, |bytes| bytes.max(LEAST));
    }
    USUAL
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the guest's start panicked: {}", text.unwrap_or("without a message"))
}
