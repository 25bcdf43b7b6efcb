// SPDX-License-Identifier: Apache-2.0
//! Codecs: JSON by the scanner and encoder that the stdlib's `json` is made of, others by the kit.

use crate::python::object::{Gil, Ref};

/// How payloads that are not bytes become objects and back.
pub struct Codec {
    /// `decode(str | memoryview)`.
    decode: Ref,
    /// `encode(object) -> str | bytes`.
    encode: Ref,
    is_text: bool,
    json: Option<Json>,
}

/// The stdlib's C scanner and encoder, past the Python functions around them. The kit has tried
/// them; whatever they do not do, `decode` and `encode` do, or say why not.
struct Json {
    scan: Ref,
    encode: Ref,
    zero: Ref,
    nothing: Ref,
}

impl Codec {
    /// Reads what the kit's guest object says.
    pub fn read(gil: Gil, guest: &Ref) -> Option<Self> {
        let get = |name| gil.attribute(guest.ptr(), name);
        let (scan, encode) = (get(c"scan")?, get(c"make_chunks")?);
        let fast = scan.ptr() != gil.api._Py_NoneStruct && encode.ptr() != gil.api._Py_NoneStruct;
        let json = Json {
            scan,
            encode,
            // SAFETY: with the GIL.
            zero: gil.own(unsafe { (gil.api.PyLong_FromLong)(0) })?,
            nothing: gil.text("")?,
        };
        let text = get(c"is_text")?;
        // SAFETY: alive.
        let is_text = unsafe { (gil.api.PyObject_IsTrue)(text.ptr()) } == 1;
        Some(Self { decode: get(c"decode")?, encode: get(c"encode")?, is_text, json: fast.then_some(json) })
    }

    /// Whether requests are decoded from text, rather than from a view of their bytes.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    pub fn decode_text(&self, gil: Gil, payload: &[u8]) -> Option<Ref> {
        let (data, len) = (payload.as_ptr().cast(), payload.len().cast_signed());
        // SAFETY: a pointer with its length; null errors mean strict.
        let text = gil.own(unsafe { (gil.api.PyUnicode_DecodeUTF8)(data, len, std::ptr::null()) })?;
        if let Some(value) = self.json.as_ref().and_then(|json| json.scan(gil, &text)) {
            return Some(value);
        }
        gil.clear();
        gil.call(self.decode.ptr(), &[text.ptr()])
    }

    pub fn decode_view(&self, gil: Gil, view: &Ref) -> Option<Ref> {
        gil.call(self.decode.ptr(), &[view.ptr()])
    }

    /// A `str` or `bytes`; none if the value does not fit, with the exception that says so.
    pub fn encode(&self, gil: Gil, value: &Ref) -> Option<Ref> {
        if let Some(text) = self.json.as_ref().and_then(|json| json.encode(gil, value)) {
            return Some(text);
        }
        gil.clear();
        gil.call(self.encode.ptr(), &[value.ptr()])
    }
}

impl Json {
    /// The value, if the text is one value and nothing else.
    fn scan(&self, gil: Gil, text: &Ref) -> Option<Ref> {
        let pair = gil.call(self.scan.ptr(), &[text.ptr(), self.zero.ptr()])?;
        // SAFETY: the scanner answers a pair of the value and where it ended.
        unsafe {
            let end = (gil.api.PyLong_AsLong)((gil.api.PyTuple_GetItem)(pair.ptr(), 1));
            if end as isize != (gil.api.PyUnicode_GetLength)(text.ptr()) {
                return None;
            }
            Some(gil.share((gil.api.PyTuple_GetItem)(pair.ptr(), 0)))
        }
    }

    /// Text that has a UTF-8 form: none for lone surrogates, which `encode` of the kit escapes.
    fn encode(&self, gil: Gil, value: &Ref) -> Option<Ref> {
        let chunks = gil.call(self.encode.ptr(), &[value.ptr(), self.zero.ptr()])?;
        // SAFETY: the encoder answers a list or tuple of strings; one string alone is not copied.
        let text = gil.own(unsafe { (gil.api.PyUnicode_Join)(self.nothing.ptr(), chunks.ptr()) })?;
        gil.utf8(&text)?;
        Some(text)
    }
}
