// SPDX-License-Identifier: Apache-2.0
//! What a function may ask about the call that it runs for.
//!
//! A pointer of the thread says which call that is: set while a sync function runs, and at every
//! poll of an async one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::null;
use std::time::{Duration, Instant};

use crate::error::Failure;
use crate::task::call::Call;
use crate::task::panics;
use crate::task::trace::Trace;

thread_local! {
    /// The call whose function runs on this thread, or null.
    static CURRENT: Cell<*const Call<'static>> = const { Cell::new(null()) };
}

/// Puts back what was current before, also when a function panics.
struct Restore(*const Call<'static>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Runs `body` with `call` as the current one, and its trace as OpenTelemetry's.
pub fn scoped<R>(call: &Call<'_>, trace: &Trace, body: impl FnOnce() -> R) -> R {
    let _traced = trace.enter();
    let _restore = Restore(CURRENT.replace((&raw const *call).cast()));
    body()
}

/// Runs a sync function's body on the calling thread.
pub fn run(call: &Call<'_>, body: impl FnOnce(&Call<'_>) -> Result<(), Failure>) {
    let outcome = panics::catch(|| scoped(call, &Trace::of(call), || body(call)));
    call.settle(outcome);
}

/// Asks the current call; `None` if there is none, or it was answered already.
pub fn with<R>(ask: impl FnOnce(&Call<'static>) -> R) -> Option<R> {
    let call = CURRENT.get();
    if call.is_null() {
        return None;
    }
    // SAFETY: `scoped`, further up this thread's stack, borrows the call, and `ask` cannot keep it.
    // That its lifetime is `'static` is not so, and no method of a call gives out anything that
    // outlives the reference to it.
    let call = unsafe { &*call };
    (!call.is_answered()).then(|| ask(call))
}

/// Whether the caller has given the current call up: what a long sync function looks at now and
/// then.
///
/// An async function need not ask: it is dropped at the `await` where it stands. False outside of a
/// call.
///
/// ```
/// fn count_primes(to: u32) -> Result<u32, polyloop::Error> {
///     let mut found = 0;
///     for number in 2..to {
///         if number % 1000 == 0 && polyloop::is_cancelled() {
///             return Err(polyloop::Error::new("cancelled", "nobody waits"));
///         }
///         found += u32::from((2..number).all(|divisor| number % divisor != 0));
///     }
///     Ok(found)
/// }
/// assert_eq!(count_primes(20).unwrap(), 8);
/// ```
pub fn is_cancelled() -> bool {
    with(Call::is_cancelled).unwrap_or(false)
}

/// When the caller of the current call stops waiting; `None` if the caller waits for ever, and
/// outside of a call.
pub fn deadline() -> Option<Instant> {
    let (now, deadline) = (monotonic(), deadline_since_boot()?);
    let instant = Instant::now();
    match deadline.checked_sub(now) {
        Some(left) => instant.checked_add(left),
        None => instant.checked_sub(now.saturating_sub(deadline)),
    }
}

/// How long the caller of the current call still waits: zero when its time is over; `None` as for
/// [`deadline`].
pub fn remaining() -> Option<Duration> {
    Some(deadline_since_boot()?.saturating_sub(monotonic()))
}

/// The context that came with the current call (a trace, say); empty if there is none, and outside
/// of a call.
pub fn context() -> BTreeMap<String, String> {
    with(|call| serde_json::from_slice(call.context()).unwrap_or_default()).unwrap_or_default()
}

/// Adds a word to the context that goes back with the current call's answer, or replaces it.
///
/// Returns false if the word does not go back: outside of a call, or if all words together, as
/// JSON, are longer than 4,096 bytes. What was added before goes back all the same.
pub fn annotate(key: impl Into<String>, value: impl Into<String>) -> bool {
    with(|call| call.annotate(key.into(), value.into())).unwrap_or(false)
}

fn deadline_since_boot() -> Option<Duration> {
    with(Call::deadline_ns).filter(|deadline| *deadline != 0).map(Duration::from_nanos)
}

/// The clock of `deadline_ns`, which is that of [`Instant`] too, though it does not show it.
fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes `time`; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
