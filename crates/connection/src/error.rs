// SPDX-License-Identifier: Apache-2.0
//! Error objects: what crosses from a guest, or from this crate, to the host's error class.

use serde_json::{Value, json};

/// An error as JSON: `{"code"?, "type", "message", "rc"?}`, see `polyloop_abi::Host::respond`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorObject(pub String);

impl ErrorObject {
    /// An error of Polyloop's own with one of its codes.
    pub fn new(code: &str, message: &str) -> Self {
        Self(json!({ "code": code, "type": "PolyloopError", "message": message }).to_string())
    }

    /// The error that a guest reports; if that is not an object in JSON, an error that says so.
    pub fn from_guest(json: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(json) {
            Ok(Value::Object(_)) => Self(String::from_utf8_lossy(json).into_owned()),
            _ => Self::new(
                "protocol",
                &format!(
                    "the guest reported an error that is not a JSON object: {}",
                    String::from_utf8_lossy(&json[..json.len().min(200)])
                ),
            ),
        }
    }
}
