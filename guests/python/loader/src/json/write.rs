// SPDX-License-Identifier: Apache-2.0
//! From objects to text.

use crate::json::bounds::{DEEPEST, SAFE};
use crate::json::pack;
use crate::json::text::quote;
use crate::python::api::Ptr;
use crate::python::object::{Gil, Ref};
use std::cell::Cell;
use std::ffi::c_int;
use std::ops::Deref;
use std::ptr;

/// Memory that a thread keeps for its next text.
const MOST_KEPT: usize = 1 << 20;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A text. Its memory is used again.
pub struct Text(Vec<u8>);

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if self.0.capacity() <= MOST_KEPT {
            SPARE.set(std::mem::take(&mut self.0));
        }
    }
}

/// The text of a value, if all of it is plain; else none, and no exception.
pub fn write(gil: Gil, value: &Ref) -> Option<Text> {
    let mut text = Text(SPARE.take());
    text.0.clear();
    Writer { gil, out: &mut text.0 }.value(value.ptr(), 0)?;
    Some(text)
}

struct Writer<'a> {
    gil: Gil<'a>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Nothing of what is looked at can go meanwhile: the GIL is held, and no Python code runs.
    fn value(&mut self, value: Ptr, level: usize) -> Option<()> {
        let api = self.gil.api;
        // SAFETY: alive; only its type is looked at.
        let kind = unsafe { (*value).kind };
        if kind == api.PyUnicode_Type {
            return self.text(value);
        }
        if kind == api.PyLong_Type {
            return self.integer(value);
        }
        if kind == api.PyFloat_Type {
            return self.float(value);
        }
        if kind == api.PyDict_Type {
            return self.dict(value, level);
        }
        if kind == api.PyList_Type {
            return self.items(value, level, api.PyList_Size, api.PyList_GetItem);
        }
        if kind == api.PyTuple_Type {
            return self.items(value, level, api.PyTuple_Size, api.PyTuple_GetItem);
        }
        let word: &[u8] = match value {
            value if value == api._Py_NoneStruct => b"null",
            value if value == api._Py_TrueStruct => b"true",
            value if value == api._Py_FalseStruct => b"false",
            _ => return None,
        };
        self.out.extend_from_slice(word);
        Some(())
    }

    fn text(&mut self, value: Ptr) -> Option<()> {
        // Of one with lone surrogates there is none.
        // SAFETY: the text is alive, see above.
        quote(unsafe { self.gil.utf8_of(value) }?, self.out);
        Some(())
    }

    fn integer(&mut self, value: Ptr) -> Option<()> {
        let mut overflow: c_int = 0;
        // SAFETY: an int, and a place to write to.
        let number = unsafe { (self.gil.api.PyLong_AsLongLongAndOverflow)(value, &raw mut overflow) };
        if overflow != 0 || !(-SAFE..=SAFE).contains(&number) {
            return None;
        }
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        Some(())
    }

    fn float(&mut self, value: Ptr) -> Option<()> {
        // SAFETY: a float.
        let number = unsafe { (self.gil.api.PyFloat_AsDouble)(value) };
        if !number.is_finite() {
            return None;
        }
        self.out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
        Some(())
    }

    fn dict(&mut self, dict: Ptr, level: usize) -> Option<()> {
        if level >= DEEPEST {
            return None;
        }
        let api = self.gil.api;
        let (mut at, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        let mut separator = b'{';
        // SAFETY: a dict that does not change meanwhile; keys and values are borrowed from it.
        while unsafe { (api.PyDict_Next)(dict, &raw mut at, &raw mut key, &raw mut value) } != 0 {
            // SAFETY: alive; only its type is looked at.
            if unsafe { (*key).kind } != api.PyUnicode_Type {
                return None;
            }
            // SAFETY: as above.
            let name = unsafe { self.gil.utf8_of(key) }?;
            // The key of tags.
            if name == b"~" {
                return None;
            }
            self.out.push(separator);
            quote(name, self.out);
            self.out.push(b':');
            self.value(value, level + 1)?;
            separator = b',';
        }
        if separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
        Some(())
    }

    fn items(
        &mut self,
        values: Ptr,
        level: usize,
        size: unsafe extern "C" fn(Ptr) -> isize,
        item: unsafe extern "C" fn(Ptr, isize) -> Ptr,
    ) -> Option<()> {
        // SAFETY: a list or a tuple that does not change meanwhile, with the functions of its type;
        // items are borrowed from it.
        unsafe {
            let count = size(values);
            if level >= DEEPEST || pack::begins_packed(self.gil, values, count, item) {
                return None;
            }
            self.out.push(b'[');
            for index in 0..count {
                if index > 0 {
                    self.out.push(b',');
                }
                self.value(item(values, index), level + 1)?;
            }
        }
        self.out.push(b']');
        Some(())
    }
}
