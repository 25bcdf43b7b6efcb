// SPDX-License-Identifier: Apache-2.0
//! Response streams: the items of an iterator, or of a stream, on their way to the host.

use crate::error::Failure;
use crate::task::call::Call;

/// Gives every item of an iterator to `give`, which blocks if there is no credit, then answers.
///
/// # Errors
/// The first that `give` has. The iterator is gone by then.
pub fn pour<I: IntoIterator>(
    call: &Call<'_>,
    items: I,
    mut give: impl FnMut(I::Item) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    for item in items {
        give(item)?;
    }
    call.end();
    Ok(())
}

/// What streams on the executor, where waiting for credit does not block a thread.
#[cfg(feature = "tokio")]
pub mod later {
    use std::future::poll_fn;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use futures_core::Stream;

    use crate::error::Failure;
    use crate::task::call::Call;

    /// An encoded item that waits for credit.
    pub struct Parked {
        flags: u8,
        data: Vec<u8>,
    }

    /// Sends an item, or keeps it if there is no credit.
    ///
    /// # Errors
    /// If the item cannot be sent at all.
    pub fn park(call: &Call<'_>, flags: u8, data: &[u8]) -> Result<Option<Parked>, Failure> {
        let sent = call.send(flags, data, false)?;
        Ok((!sent).then(|| Parked { flags, data: data.to_vec() }))
    }

    /// Answers with an encoded result, unless it goes as an item for which there is no credit.
    ///
    /// # Errors
    /// If the item cannot be sent at all.
    pub fn answer_or_park(call: &Call<'_>, flags: u8, data: &[u8]) -> Result<Option<Parked>, Failure> {
        if call.goes_as_item(flags) {
            park(call, flags, data)
        } else {
            call.answer(flags, data).map(|()| None)
        }
    }

    /// Sends what is parked, and answers if nothing has yet.
    ///
    /// # Errors
    /// If the item cannot be sent.
    pub async fn finish(call: &Call<'_>, parked: Option<Parked>) -> Result<(), Failure> {
        if let Some(parked) = parked {
            parked.sent(call).await?;
        }
        call.end();
        Ok(())
    }

    /// Gives every item of a stream to `give`, waits for credit when that parks one, then answers.
    ///
    /// # Errors
    /// The first that `give` has.
    pub async fn pour_later<S: Stream>(
        call: &Call<'_>,
        items: S,
        mut give: impl FnMut(S::Item) -> Result<Option<Parked>, Failure>,
    ) -> Result<(), Failure> {
        let mut items = pin!(Some(items));
        while let Some(item) = poll_fn(|context| next(items.as_mut(), context)).await {
            if let Some(parked) = give(item)? {
                parked.sent(call).await?;
            }
        }
        // Before the answer: a caller that has the answer may rely on what the drop does.
        items.set(None);
        call.end();
        Ok(())
    }

    fn next<S: Stream>(items: Pin<&mut Option<S>>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        items.as_pin_mut().map_or(Poll::Ready(None), |items| items.poll_next(context))
    }

    impl Parked {
        async fn sent(self, call: &Call<'_>) -> Result<(), Failure> {
            let watch = call.watch();
            watch.begin(call.runtime());
            poll_fn(|context| {
                // First the waker, then the look: credit that comes in between wakes. The
                // cancellation, `send` says.
                watch.body_waits(context.waker());
                match call.send(self.flags, &self.data, false) {
                    Ok(false) => Poll::Pending,
                    Ok(true) => Poll::Ready(Ok(())),
                    Err(failure) => Poll::Ready(Err(failure)),
                }
            })
            .await
        }
    }

    /// An iterator as a stream that never waits.
    pub struct Each<I>(pub I);

    // Its iterator is never pinned.
    impl<I> Unpin for Each<I> {}

    impl<I: Iterator> Stream for Each<I> {
        type Item = I::Item;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
            Poll::Ready(self.0.next())
        }
    }

    /// Answers an async call with its function's value.
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __answer_later {
        ($call:ident, $value:expr) => {{
            let parked = $crate::__encode!($call, $value, |flags, data| {
                $crate::__private::answer_or_park($call, flags, data)
            });
            $crate::__private::finish($call, parked?).await
        }};
    }

    /// Answers an async call with the items of its function's stream.
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __pour_later {
        ($call:ident, $value:expr, $wrap:path) => {{
            let items = $wrap($crate::__outcome!($value)?);
            $crate::__private::pour_later($call, items, |item| {
                $crate::__encode!($call, item, |flags, data| $crate::__private::park($call, flags, data))
            })
            .await
        }};
    }
}
