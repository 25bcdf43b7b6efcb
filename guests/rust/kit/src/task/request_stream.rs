// SPDX-License-Identifier: Apache-2.0
//! The request stream of a call, as the last argument of a function.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use polyloop_abi::{FLAG_EMPTY, Item, STATUS_OK, STREAM_CANCELLED, STREAM_END, STREAM_WAIT};
use serde::de::DeserializeSeed;

use crate::error::{CANCELLED, Error, Failure, INVALID_ARGUMENT};
use crate::runtime::{Lease, Runtime};
use crate::signature::Signature;
use crate::task::call::Call;
use crate::task::current;
use crate::task::watch::Watch;
use crate::values::arguments::{self, Encoding};
use crate::values::bytes::{Loan, Source};

/// The stream of items that a caller passes as the last argument, an async iterable in JavaScript.
///
/// The input is an `Iterator` that blocks, for `fn`, and a `Stream`, for `async fn`;
/// [`Input::receive`] is the plainest of the async ways. Items are what parameters by value may be;
/// an item that is [`crate::Bytes`] is not copied. The next item is asked for when the one before
/// was taken, so a slow function slows its caller down.
///
/// An item that does not fit is an error with the code `invalid-argument`, and the next one may fit
/// again. If the caller gives the call up comes one error with the code `cancelled`, and then
/// nothing.
///
/// The input may be moved, into the stream that the function returns or to another thread. It ends
/// with the call's answer, and an unload waits until it is dropped.
///
/// With `StreamExt` in scope, methods that both traits have need to be told apart:
/// `StreamExt::map(input, ..)`.
///
/// ```
/// # #[polyloop::guest] mod functions {
/// use polyloop::{Error, Input};
///
/// pub fn sum(numbers: Input<f64>) -> Result<f64, Error> {
///     numbers.sum()
/// }
///
/// pub async fn longest(mut words: Input<String>) -> Result<String, Error> {
///     let mut longest = String::new();
///     while let Some(word) = words.receive().await {
///         longest = std::cmp::max_by_key(longest, word?, String::len);
///     }
///     Ok(longest)
/// }
/// # }
/// # fn main() {}
/// ```
pub struct Input<T> {
    lease: Lease,
    signature: &'static Signature,
    watch: Arc<Watch>,
    decode: Decoder<T>,
    ended: bool,
}

/// How an item becomes a value: made by the attribute, which knows the type.
pub type Decoder<T> = for<'a> fn(&Arrived<'a>) -> Result<T, String>;

/// An item that is the guest's to read.
pub struct Arrived<'a> {
    payload: Encoding<'a>,
    loan: &'a Loan,
}

impl<'a> Arrived<'a> {
    /// Decodes the item.
    ///
    /// # Errors
    /// What does not fit.
    pub fn decode<S: DeserializeSeed<'a> + Copy>(&self, seed: S) -> Result<S::Value, String> {
        arguments::decode_item(self.payload, seed)
    }

    /// Lets values keep parts of the item.
    pub fn source(&self) -> Source<'a> {
        Source::of(self.loan)
    }
}

/// An item in the guest's hands: its drop gives it back, also when decoding it panics.
struct Lent<'a> {
    runtime: &'a Arc<Runtime>,
    item: Item,
    loan: Loan,
}

impl Lent<'_> {
    fn arrived(&self) -> Arrived<'_> {
        // SAFETY: the host keeps the item until it is given back, which is after the last use of
        // `self`.
        let data = unsafe { std::slice::from_raw_parts(self.item.data, self.item.len as usize) };
        Arrived { payload: (self.runtime.codec, self.item.flags as u8, data), loan: &self.loan }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.loan.settle(self.runtime);
        self.runtime.respond(self.item.id, STATUS_OK, FLAG_EMPTY, &[]);
    }
}

impl Call<'_> {
    /// The stream that is the last argument. Made after `arguments`, which sees to it that there is
    /// one.
    ///
    /// # Errors
    /// If the runtime closes.
    pub fn input<T>(&self, decode: Decoder<T>) -> Result<Input<T>, Failure> {
        Ok(Input::new(self.lease()?, self.signature(), Arc::clone(self.watch()), decode))
    }
}

impl<T> Input<T> {
    fn new(lease: Lease, signature: &'static Signature, watch: Arc<Watch>, decode: Decoder<T>) -> Self {
        Self { lease, signature, watch, decode, ended: false }
    }

    /// The next item, or `None` after the last.
    ///
    /// # Errors
    /// `invalid-argument` for an item that does not fit, `cancelled` if the caller has given the
    /// call up.
    pub async fn receive(&mut self) -> Option<Result<T, Error>> {
        std::future::poll_fn(|context| self.poll_receive(context)).await
    }

    /// The next item as a poll: what the implementation of `Stream` does.
    ///
    /// # Errors
    /// As [`Input::receive`].
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        match self.receive_guarded() {
            Poll::Pending => {
                self.watch.begin(self.runtime());
                self.watch.input_waits(context.waker());
                // What came since the first look rang for nobody.
                self.receive_guarded()
            }
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn receive_guarded(&mut self) -> Poll<Option<Result<T, Error>>> {
        let watch = Arc::clone(&self.watch);
        // Not answered while this is locked: the answer would give the item back under our hands.
        let open = watch.open();
        if *open || self.ended {
            return self.receive_from_host(false);
        }
        self.end(Some("the call was answered before its input had ended"))
    }

    fn receive_from_host(&mut self, wait: bool) -> Poll<Option<Result<T, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.runtime().receive(self.watch.task(), wait) {
            Ok(item) => Poll::Ready(Some(self.accept(item))),
            Err(STREAM_WAIT) => Poll::Pending,
            Err(STREAM_END) => self.end(None),
            Err(STREAM_CANCELLED) => self.end(Some("the caller gave the call up")),
            Err(_) => self.end(Some("the call was answered before its input had ended")),
        }
    }

    fn accept(&self, item: Item) -> Result<T, Error> {
        let lent = Lent { runtime: self.runtime(), item, loan: Loan::new(item.id) };
        let outcome = (self.decode)(&lent.arrived());
        drop(lent);
        outcome.map_err(|what| {
            let name = self.signature.parameters.last().copied().unwrap_or_default();
            let message = format!("{}: an item of `{name}`: {what}", self.signature);
            Error::new(INVALID_ARGUMENT, message)
        })
    }

    fn end(&mut self, why: Option<&str>) -> Poll<Option<Result<T, Error>>> {
        self.ended = true;
        let error = |why| Err(Error::new(CANCELLED, format!("{}: {why}", self.signature)));
        Poll::Ready(why.map(error))
    }

    fn runtime(&self) -> &Arc<Runtime> {
        self.lease.runtime()
    }

    /// Whether this thread runs the call's function: then the call is not answered before the
    /// function returns.
    fn runs_the_call(&self) -> bool {
        let own = |call: &Call<'static>| call.watched().is_some_and(|it| Arc::ptr_eq(it, &self.watch));
        current::with(own).unwrap_or(false)
    }
}

impl<T> Iterator for Input<T> {
    type Item = Result<T, Error>;

    /// Blocks until there is an item.
    fn next(&mut self) -> Option<Result<T, Error>> {
        let here = self.runs_the_call();
        let waker = if here { Waker::noop().clone() } else { Arc::new(Unpark(thread::current())).into() };
        loop {
            let polled = if here {
                self.receive_from_host(true)
            } else {
                self.poll_receive(&mut Context::from_waker(&waker))
            };
            match polled {
                Poll::Ready(item) => return item,
                Poll::Pending if here => {}
                Poll::Pending => thread::park(),
            }
        }
    }
}

#[cfg(feature = "tokio")]
impl<T> futures_core::Stream for Input<T> {
    type Item = Result<T, Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, Error>>> {
        self.get_mut().poll_receive(context)
    }
}

/// Wakes a thread that waits away from the call's own.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> std::fmt::Debug for Input<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Input").field("ended", &self.ended).finish_non_exhaustive()
    }
}
