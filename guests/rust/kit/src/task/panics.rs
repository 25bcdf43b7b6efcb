// SPDX-License-Identifier: Apache-2.0
//! A panic in a guest's function becomes an answer that says where it was.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::error::Failure;

thread_local! {
    /// Whether the thread runs a guest's function.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// Where the latest panic of a watched function was.
    static STACK: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Notes where functions panic, from now on. Panics elsewhere go to the hook that was there.
pub fn install() {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if WATCHED.get() {
                STACK.replace(Some(stack(info)));
            } else {
                previous(info);
            }
        }));
    });
}

/// The location, and the backtrace if `RUST_BACKTRACE` asks for one, as for any Rust program.
fn stack(info: &PanicHookInfo<'_>) -> String {
    let location = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("at {location}\n{backtrace}"),
        _ => format!("at {location}"),
    }
}

/// Runs a part of a guest's function.
///
/// # Errors
/// If the body panics.
pub fn catch<R>(body: impl FnOnce() -> R) -> Result<R, Failure> {
    let before = WATCHED.replace(true);
    // What the body leaves half done is the guest's: its next caller sees a poisoned lock, or its
    // own mistake.
    let outcome = catch_unwind(AssertUnwindSafe(body));
    WATCHED.set(before);
    outcome.map_err(|payload| Failure::panic(message(payload), STACK.take()))
}

fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(payload) => {
                // Its drop may panic, and there is no one left to catch that.
                std::mem::forget(payload);
                "a panic without a message".to_owned()
            }
        },
    }
}
