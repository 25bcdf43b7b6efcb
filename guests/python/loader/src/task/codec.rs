// SPDX-License-Identifier: Apache-2.0
//! Codecs: what of requests becomes objects, and of objects responses. The kit does what is not
//! plain JSON.

use crate::json::{self, Text};
use crate::python::object::{Gil, Ref};

/// The first byte of a payload that is an envelope and no JSON text.
const ENVELOPE: u8 = 1;

/// How payloads that are not bytes become objects and back.
pub struct Codec {
    /// `decode(str)` if there is `revive`, `decode(memoryview)` otherwise.
    decode: Ref,
    /// `encode(object) -> bytes`.
    encode: Ref,
    /// `revive(memoryview)`: the value in an envelope, if the codec is JSON.
    revive: Option<Ref>,
}

/// Whether a payload that is no bytes alone is an envelope, of a codec that has those.
fn is_envelope(payload: &[u8]) -> bool {
    payload.first() == Some(&ENVELOPE)
}

impl Codec {
    /// Reads what the kit's guest object says.
    pub fn read(gil: Gil, guest: &Ref) -> Option<Self> {
        let get = |name| gil.attribute(guest.ptr(), name);
        let revive = Some(get(c"revive")?).filter(|revive| revive.ptr() != gil.api._Py_NoneStruct);
        Some(Self { decode: get(c"decode")?, encode: get(c"encode")?, revive })
    }

    /// The value of a payload; `view` makes a memoryview of it, for what becomes views of it.
    pub fn decode(&self, gil: Gil, payload: &[u8], view: impl FnOnce() -> Option<Ref>) -> Option<Ref> {
        let Some(revive) = &self.revive else { return gil.call(self.decode.ptr(), &[view()?.ptr()]) };
        if is_envelope(payload) {
            return gil.call(revive.ptr(), &[view()?.ptr()]);
        }
        if let Some(value) = json::parse(gil, payload) {
            return Some(value);
        }
        gil.clear();
        let text = gil.utf8_text(payload)?;
        gil.call(self.decode.ptr(), &[text.ptr()])
    }

    /// The text of a plain value, if the codec is JSON.
    pub fn write(&self, gil: Gil, value: &Ref) -> Option<Text> {
        self.revive.as_ref().and_then(|_| json::write(gil, value))
    }

    /// The bytes of any other value; none if the value does not fit, with the exception that says so.
    pub fn encode(&self, gil: Gil, value: &Ref) -> Option<Ref> {
        gil.call(self.encode.ptr(), &[value.ptr()])
    }
}
