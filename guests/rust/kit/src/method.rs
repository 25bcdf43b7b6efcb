// SPDX-License-Identifier: Apache-2.0
//! The functions of a guest, as its table has them.

use std::fmt;

use polyloop_abi::{FLAG_INPUT, FLAG_OUTPUT};
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::Failure;

/// A function that hosts call.
pub struct Method {
    /// Its name and parameters.
    pub signature: Signature,
    /// Whether it runs on the executor.
    pub is_async: bool,
    /// Whether its last argument is a stream.
    pub takes_input: bool,
    /// Whether its result is a stream.
    pub streams: bool,
    /// Runs it, or starts it.
    pub entry: fn(Call<'_>),
}

/// What a function is called with, for people.
pub struct Signature {
    /// The name.
    pub name: &'static str,
    /// The names of its parameters.
    pub parameters: &'static [&'static str],
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({})", self.name, self.parameters.join(", "))
    }
}

impl Method {
    /// Refuses a call that brings or wants other streams than the function has.
    ///
    /// # Errors
    /// `invalid-argument`, which says how to call it.
    pub fn fits(&self, flags: u8) -> Result<(), Failure> {
        let input = flags & FLAG_INPUT != 0;
        if input == self.takes_input && (flags & FLAG_OUTPUT != 0 || !self.streams) {
            return Ok(());
        }
        Err(self.misfit(input))
    }

    #[cold]
    fn misfit(&self, input: bool) -> Failure {
        let what = match (input, self.takes_input) {
            (true, false) => "it takes no stream: pass no async iterable as the last argument",
            (false, true) => "it takes a stream: pass an async iterable as the last argument",
            _ => "this function streams: call it with stream()",
        };
        Failure::invalid_argument(format!("{}: {what}", self.signature))
    }

    /// What the manifest says of it.
    pub fn entry_of_manifest(&self) -> Value {
        let Signature { name, parameters } = self.signature;
        let mut entry = json!({"name": name, "params": parameters, "async": self.is_async});
        if self.streams {
            entry["stream"] = true.into();
        }
        if self.takes_input {
            entry["input"] = true.into();
        }
        entry
    }
}

/// Answers tasks that the guest has no function for.
pub static UNKNOWN: Method = Method {
    signature: Signature { name: "unknown", parameters: &[] },
    is_async: false,
    takes_input: false,
    streams: false,
    entry: |call| {
        let message =
            "this guest has no such function: the host's list of methods is not this guest's".to_owned();
        call.settle(Err(Failure::invalid_argument(message)));
    },
};
