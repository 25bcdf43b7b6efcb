// SPDX-License-Identifier: Apache-2.0
//! Why a start fails, as the error object that goes to the host.

use serde_json::json;

/// An error object of [`polyloop_abi::Host::fail`], and what `start` returns.
#[derive(Debug)]
pub struct Failure {
    /// The error object, JSON.
    pub json: String,
    /// What `start` returns; not 0.
    pub rc: i32,
}

impl Failure {
    /// A failure of the loader's own, before Python can speak for itself.
    pub fn new(kind: &str, message: impl AsRef<str>) -> Self {
        Self { json: error_object(kind, message.as_ref()), rc: 1 }
    }
}

/// Writes an error object without code, stack or cause.
pub fn error_object(kind: &str, message: &str) -> String {
    json!({ "type": kind, "message": message, "rc": 1 }).to_string()
}
