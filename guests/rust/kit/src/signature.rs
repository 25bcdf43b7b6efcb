// SPDX-License-Identifier: Apache-2.0
//! What a function is called with, and how: what hosts and people are told of it.

use std::fmt;

use polyloop_abi::{FLAG_INPUT, FLAG_OUTPUT};
use serde_json::{Value, json};

/// What a function is called with, and how.
pub struct Signature {
    /// The name.
    pub name: &'static str,
    /// The names of its parameters.
    pub parameters: &'static [&'static str],
    /// Whether the function runs on the executor.
    pub is_async: bool,
    /// Whether its last argument is a stream.
    pub takes_input: bool,
    /// Whether its result is a stream.
    pub streams: bool,
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({})", self.name, self.parameters.join(", "))
    }
}

impl Signature {
    /// Refuses a call that brings or wants other streams than the function has.
    ///
    /// # Errors
    /// How to call the function.
    pub fn fits(&self, flags: u8) -> Result<(), &'static str> {
        let input = flags & FLAG_INPUT != 0;
        if input == self.takes_input && (flags & FLAG_OUTPUT != 0 || !self.streams) {
            return Ok(());
        }
        Err(self.misfit(input))
    }

    #[cold]
    fn misfit(&self, input: bool) -> &'static str {
        match (input, self.takes_input) {
            (true, false) => "it takes no stream: pass no async iterable as the last argument",
            (false, true) => "it takes a stream: pass an async iterable as the last argument",
            _ => "this function streams: call it with stream()",
        }
    }

    /// What the manifest says of the function.
    pub fn entry_of_manifest(&self) -> Value {
        let mut entry = json!({"name": self.name, "params": self.parameters, "async": self.is_async});
        if self.streams {
            entry["stream"] = true.into();
        }
        if self.takes_input {
            entry["input"] = true.into();
        }
        entry
    }
}
