// SPDX-License-Identifier: Apache-2.0
//! What brokers and hosts say in more than one place.

use std::io;

use serde_json::{Value, json};

/// What a broker says to the one that has the address.
pub const YIELD: &[u8] = b"yield\n";

/// Why nobody is let in any more.
pub const CUT: &str =
    "its broker has no descriptor left (EMFILE); it has the limit (ulimit -n) of the host that came first";

/// What a host hears that cannot be served.
pub fn unserved(why: &str) -> Value {
    json!({ "event": "unserved", "message": why })
}

/// What a host hears if the guest's program cannot be run.
pub fn unrunnable(error: &io::Error) -> Value {
    let missing = error.kind() == io::ErrorKind::NotFound;
    json!({ "event": "unrunnable", "missing": missing, "message": error.to_string() })
}
