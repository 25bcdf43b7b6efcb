// SPDX-License-Identifier: Apache-2.0
//! What goes into a call and what comes out of it.

use polyloop_abi::{FLAG_SPREAD, STATUS_ERROR};
use serde_json::Value;

/// How a function is called.
pub struct Call<'a> {
    /// `FLAG_*`.
    pub flags: u8,
    /// The request.
    pub payload: &'a [u8],
    /// How many items the guest may send before [`crate::Guest::credit`] allows more.
    pub credit: usize,
    /// Nanoseconds of the monotonic clock; 0 for never.
    pub deadline_ns: u64,
    /// JSON, or nothing.
    pub context: &'a str,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self { flags: FLAG_SPREAD, payload: b"[]", credit: usize::MAX, deadline_ns: 0, context: "" }
    }
}

/// What a task was answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `STATUS_*`.
    pub status: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// The payload.
    pub data: Vec<u8>,
}

impl Answer {
    /// The payload.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.data).expect("the answer is JSON")
    }

    /// The error object.
    ///
    /// # Panics
    /// If the answer is no error.
    pub fn error(&self) -> Value {
        assert_eq!(self.status, STATUS_ERROR, "{self:?}");
        self.json()
    }

    /// The code and message of the error object.
    ///
    /// # Panics
    /// If the answer is no error, or has no message.
    pub fn refusal(&self) -> String {
        let error = self.error();
        let message = error["message"].as_str().expect("an error has a message");
        format!("{}: {message}", error["code"].as_str().unwrap_or("-"))
    }
}

/// An item that the guest sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `FLAG_*`.
    pub flags: u32,
    /// The payload.
    pub data: Vec<u8>,
}

impl Item {
    /// The payload.
    ///
    /// # Panics
    /// If the payload is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.data).expect("the item is JSON")
    }
}
