// SPDX-License-Identifier: Apache-2.0
//! OpenTelemetry: the trace that came with a call is current while its function runs, so that spans
//! which it begins are children of the caller's.

use std::collections::HashMap;

use opentelemetry::{Context, ContextGuard, global};

use crate::task::call::Call;

/// The trace that came with a call, if one did.
pub struct Trace(Option<Context>);

impl Trace {
    /// That of a call that is not answered.
    pub fn of(call: &Call<'_>) -> Self {
        if call.context().is_empty() {
            return Self(None);
        }
        let words: Option<HashMap<String, String>> = serde_json::from_slice(call.context()).ok();
        Self(words.map(|words| global::get_text_map_propagator(|propagator| propagator.extract(&words))))
    }

    /// Makes the trace current on this thread until the guard is dropped.
    pub fn enter(&self) -> Option<ContextGuard> {
        self.0.clone().map(Context::attach)
    }
}
