// SPDX-License-Identifier: Apache-2.0
//! What is written so far.

use std::fmt::Display;

use serde::ser::{Error as _, Serialize};
use serde_json::Error;

use crate::values::array;
use crate::values::envelope::{Attached, BYTES_AT, DEEPEST, NUMBERS_AT, seal_one};

/// The largest integer that every reader of JSON reads as it is.
pub const SAFE: u64 = (1 << 53) - 1;

/// The shortest list whose numbers may lie together.
pub const PACKED: usize = 64;

/// Where a value is being written.
pub struct Writer {
    pub(super) text: Vec<u8>,
    pub(super) attached: Attached,
    pub(super) level: usize,
    /// Whether the text has tags.
    pub(super) is_tagged: bool,
    /// Whether the buffer has all of the envelope already.
    pub(super) is_sealed: bool,
    /// Whether the next bytes are those of an array.
    pub(super) is_array: bool,
}

impl Writer {
    #[inline]
    pub(super) fn plain<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut serde_json::Serializer::new(&mut self.text))
    }

    #[inline]
    pub(super) fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    #[cold]
    pub(super) fn tag(&mut self, kind: char, parts: impl Display) {
        self.is_tagged = true;
        self.raw(&format!("{{\"~\":[\"{kind}\",{parts}]}}"));
    }

    #[cold]
    pub(super) fn not_finite(&mut self, value: f64) {
        let name = match value {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ if value.is_nan() => "NaN",
            _ => "-0",
        };
        self.tag('n', format_args!("\"{name}\""));
    }

    pub(super) fn attach(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let description = if std::mem::take(&mut self.is_array) { array::description() } else { None };
        let (kind, at, parts) = match description {
            Some(description) => ('a', NUMBERS_AT, format!(",{description}")),
            None => ('b', BYTES_AT, String::new()),
        };
        if self.text.is_empty() {
            // It is the whole value, and is copied once.
            let text = format!("{{\"~\":[\"{kind}\",0{parts}]}}");
            self.is_sealed = true;
            return seal_one(&mut self.text, &text, bytes).map_err(Error::custom);
        }
        self.tag(kind, format_args!("{}{parts}", self.attached.count()));
        self.attached.push(bytes, at);
        Ok(())
    }

    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        if self.level == DEEPEST {
            return Err(Error::custom(format_args!("it is nested deeper than {DEEPEST} levels")));
        }
        self.level += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn leave(&mut self, close: &str) {
        if !close.is_empty() {
            self.raw(close);
        }
        self.level -= 1;
    }
}
