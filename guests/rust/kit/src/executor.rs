// SPDX-License-Identifier: Apache-2.0
//! Async functions run on a tokio runtime of the guest's, which exists only if the guest has async
//! functions.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::thread::available_parallelism;

use crate::error::Failure;
use crate::runtime::{Handle, Runtime};
use crate::stack;
use crate::task::call::Call;
use crate::task::current;
use crate::task::panics;
use crate::task::trace::Trace;

/// More workers than this only help guests that compute in async functions.
const MOST_WORKERS: usize = 4;

/// The tokio runtime. Dropped after the last async call has ended.
pub type Executor = tokio::runtime::Runtime;

/// Starts the executor of `runtime`.
///
/// # Errors
/// If the system refuses threads or a poller.
pub fn start(runtime: &Arc<Runtime>) -> Result<Executor, Failure> {
    let workers = available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let owner: Weak<Runtime> = Arc::downgrade(runtime);
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("polyloop-tokio")
        .thread_stack_size(stack::size())
        .on_thread_start(move || Runtime::adopt_thread(&owner))
        .enable_all()
        .build()
        .map_err(|error| Failure::of(&error, Some("io::Error")))?;
    let _ = runtime.executor.set(tokio.handle().clone());
    Ok(tokio)
}

/// Ends the executor: tasks that the guest spawned and left are dropped, blocking ones are waited
/// for.
pub fn stop(executor: Option<Executor>) {
    drop(executor);
}

/// Lets `tokio::spawn` and the like work on the calling thread, if the guest has a tokio runtime.
pub fn enter(handle: Option<&Handle>) -> Option<impl Sized> {
    handle.map(Handle::enter)
}

/// Runs a future to its end on the calling thread.
///
/// # Panics
/// Without a handle: `start` makes one for every guest that has an `async fn`.
pub fn wait<F: Future>(handle: Option<&Handle>, future: F) -> F::Output {
    handle.expect("a guest with an async init has an executor").block_on(future)
}

/// Runs the body of an async function, which answers the call by itself.
pub fn spawn<F: Future<Output = ()> + Send + 'static>(handle: &Handle, future: F) {
    drop(handle.spawn(future));
}

/// The executor that async calls run on.
///
/// # Panics
/// Without one: `start` makes an executor for every guest that has a function which runs there.
pub fn handle_of(call: &Call<'_>) -> Handle {
    call.runtime().executor.get().expect("a guest with async functions has an executor").clone()
}

/// Runs the future that is a call's function, until it ends, panics, or the caller gives the call
/// up.
///
/// # Errors
/// The panic, or `cancelled`. The future is gone by then, and with it what it borrowed from the
/// request.
pub async fn driven<F: Future>(call: &Call<'_>, future: F) -> Result<F::Output, Failure> {
    let mut future = pin!(Some(future));
    let trace = Trace::of(call);
    let outcome = poll_fn(|context| poll(call, &trace, future.as_mut(), context)).await;
    let dropped = panics::catch(|| current::scoped(call, &trace, || future.set(None)));
    outcome.and_then(|output| dropped.map(|()| output))
}

fn poll<F: Future>(
    call: &Call<'_>,
    trace: &Trace,
    future: Pin<&mut Option<F>>,
    context: &mut Context<'_>,
) -> Poll<Result<F::Output, Failure>> {
    if call.watched().is_some_and(|watch| watch.is_cancelled()) {
        return Poll::Ready(Err(call.given_up()));
    }
    let polled = panics::catch(|| {
        current::scoped(call, trace, || {
            future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(context))
        })
    });
    match polled {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => {
            // Not before the future was pending once: most futures never are, and a watcher costs.
            let watch = call.watch();
            watch.begin(call.runtime());
            if watch.body_waits(context.waker()) { Poll::Ready(Err(call.given_up())) } else { Poll::Pending }
        }
        Err(failure) => Poll::Ready(Err(failure)),
    }
}

/// Runs the async function `$body` of `$call` on tokio.
#[doc(hidden)]
#[macro_export]
macro_rules! __spawn {
    ($call:ident, $body:ident) => {
        if let ::core::option::Option::Some(call) = $call.leased() {
            let handle = $crate::__private::handle_of(&call);
            $crate::__private::spawn(&handle, async move {
                let outcome = $crate::__private::driven(&call, $body(&call)).await;
                call.settle(outcome);
            });
        }
    };
}

/// Waits for an async `init`.
#[doc(hidden)]
#[macro_export]
macro_rules! __wait {
    ($setup:ident, $future:expr) => {
        $crate::__private::wait($setup.executor(), $future)
    };
}
