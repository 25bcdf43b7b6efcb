// SPDX-License-Identifier: Apache-2.0
//! The functions of a guest, as its table has them.

use crate::error::Failure;
use crate::signature::Signature;
use crate::task::call::Call;

/// A function that hosts call.
pub struct Method {
    /// What the function is called with, and how.
    pub signature: Signature,
    /// Runs the function, or starts it.
    pub entry: fn(Call<'_>),
}

/// Answers tasks that the guest has no function for.
pub static UNKNOWN: Method = Method {
    signature: Signature {
        name: "unknown",
        parameters: &[],
        is_async: false,
        takes_input: false,
        streams: false,
    },
    entry: |call| {
        let message =
            "this guest has no such function: the host's list of methods is not this guest's".to_owned();
        call.settle(Err(Failure::invalid_argument(message)));
    },
};
