// SPDX-License-Identifier: Apache-2.0
//! Error objects: what crosses from a guest, or from this crate, to the host's error class.

use serde_json::{Value, json};

/// Bytes of JSON that a guest may declare at its start, or give as the reason of its failure or its
/// death, on threads as in a process. A process tells them in one line, in which they are a text:
/// twice as long at most. The host's end is `hosts/node/src/placement/lifeline.ts`.
pub const LONGEST_WORDS: usize = 16 << 20;

/// Bytes that are shown of what is too long.
const SHOWN: usize = 1000;

/// An error as JSON: `{"code"?, "type", "message", "rc"?}`, see `polyloop_abi::Host::respond`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorObject(pub String);

impl ErrorObject {
    /// An error of Polyloop's own with one of its codes.
    pub fn new(code: &str, message: &str) -> Self {
        Self(json!({ "code": code, "type": "PolyloopError", "message": message }).to_string())
    }

    /// The error that a guest reports; if that is not an object in JSON, or is too long, an error that
    /// says so.
    pub fn from_guest(json: &[u8]) -> Self {
        if json.len() > LONGEST_WORDS {
            let begins = String::from_utf8_lossy(&json[..SHOWN]);
            let message = format!(
                "the error has {} bytes of JSON and may have {LONGEST_WORDS}; it begins: {begins}",
                json.len()
            );
            return Self(json!({ "type": "Error", "message": message }).to_string());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_may_be_long_and_of_one_that_is_longer_the_beginning_is_told() {
        let error = |bytes: usize| format!(r#"{{"type":"E","message":"{}"}}"#, "x".repeat(bytes));
        let around = error(0).len();
        let longest = error(LONGEST_WORDS - around);
        assert_eq!(ErrorObject::from_guest(longest.as_bytes()).0, longest);
        let ErrorObject(told) = ErrorObject::from_guest(error(LONGEST_WORDS - around + 1).as_bytes());
        let told: Value = serde_json::from_str(&told).unwrap();
        let message = told["message"].as_str().unwrap();
        assert!(
            message.starts_with("the error has 16777217 bytes of JSON and may have 16777216"),
            "{message}"
        );
        assert!(message.len() < 2 * SHOWN);
    }
}
