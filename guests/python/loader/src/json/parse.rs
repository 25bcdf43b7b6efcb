// SPDX-License-Identifier: Apache-2.0
//! From text to objects.

use crate::json::bounds::SAFE;
use crate::json::keys::{Keys, keys};
use crate::json::text::{plain_bytes, unescape};
use crate::python::api::Ptr;
use crate::python::object::{Gil, Ref};
use std::sync::MutexGuard;

/// Levels that are read here: what is deeper is left to the kit.
const DEEPEST: usize = 256;

/// Most digits of an integer that surely has 64 bits.
const DIGITS: usize = 18;

/// The value of a text of JSON, if it is one and nothing out of the ordinary; else none, maybe with
/// an exception.
pub fn parse(gil: Gil, text: &[u8]) -> Option<Ref> {
    let mut parser = Parser { gil, text, at: 0, items: Vec::new(), keys: keys(), scratch: Vec::new() };
    let value = parser.value(0)?;
    parser.space();
    (parser.at == text.len()).then_some(value)
}

struct Parser<'a> {
    gil: Gil<'a>,
    text: &'a [u8],
    at: usize,
    /// Items of the lists that are open.
    items: Vec<Ref>,
    keys: Option<MutexGuard<'static, Keys>>,
    scratch: Vec<u8>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, level: usize) -> Option<Ref> {
        self.space();
        let api = self.gil.api;
        match self.peek()? {
            b'"' => self.string(),
            b'{' if level < DEEPEST => self.object(level),
            b'[' if level < DEEPEST => self.array(level),
            b't' => self.word(b"true", api._Py_TrueStruct),
            b'f' => self.word(b"false", api._Py_FalseStruct),
            b'n' => self.word(b"null", api._Py_NoneStruct),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8], object: Ptr) -> Option<Ref> {
        let end = self.at + word.len();
        if self.text.get(self.at..end)? != word {
            return None;
        }
        self.at = end;
        Some(self.gil.share(object))
    }

    fn object(&mut self, level: usize) -> Option<Ref> {
        let api = self.gil.api;
        // SAFETY: with the GIL.
        let dict = self.gil.own(unsafe { (api.PyDict_New)() })?;
        self.at += 1;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(dict);
        }
        loop {
            let key = self.key()?;
            self.space();
            if self.next()? != b':' {
                return None;
            }
            let value = self.value(level + 1)?;
            // SAFETY: a dict made here, and two objects of which it takes references of its own.
            if unsafe { (api.PyDict_SetItem)(dict.ptr(), key.ptr(), value.ptr()) } != 0 {
                return None;
            }
            self.space();
            match self.next()? {
                b',' => self.space(),
                b'}' => return Some(dict),
                _ => return None,
            }
        }
    }

    fn array(&mut self, level: usize) -> Option<Ref> {
        let first = self.items.len();
        self.at += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return self.list(first);
        }
        loop {
            let value = self.value(level + 1)?;
            self.items.push(value);
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return self.list(first),
                _ => return None,
            }
        }
    }

    /// A list of the items from `first` on.
    fn list(&mut self, first: usize) -> Option<Ref> {
        let api = self.gil.api;
        let count = self.items.len() - first;
        // SAFETY: a list of that many places, each of which takes over one reference.
        unsafe {
            let list = self.gil.own((api.PyList_New)(count.cast_signed()))?;
            for (index, item) in self.items.drain(first..).enumerate() {
                (api.PyList_SetItem)(list.ptr(), index.cast_signed(), item.into_ptr());
            }
            Some(list)
        }
    }

    fn key(&mut self) -> Option<Ref> {
        let text = self.text;
        let Some(run) = self.plain_run()? else { return self.escaped() };
        match &mut self.keys {
            Some(keys) => keys.get(self.gil, &text[run.0..run.1]),
            None => self.gil.utf8_text(&text[run.0..run.1]),
        }
    }

    fn string(&mut self) -> Option<Ref> {
        let text = self.text;
        match self.plain_run()? {
            Some((from, to)) => self.gil.utf8_text(&text[from..to]),
            None => self.escaped(),
        }
    }

    /// Where a text lies that has no escapes, past which this goes; `Some(None)` if it has some.
    #[allow(clippy::option_option, reason = "no text, or none without escapes")]
    fn plain_run(&mut self) -> Option<Option<(usize, usize)>> {
        if self.peek()? != b'"' {
            return None;
        }
        let from = self.at + 1;
        let to = from + plain_bytes(&self.text[from..]);
        match self.text.get(to)? {
            b'"' => {
                self.at = to + 1;
                Some(Some((from, to)))
            }
            b'\\' => Some(None),
            _ => None,
        }
    }

    fn escaped(&mut self) -> Option<Ref> {
        self.at += 1 + unescape(&self.text[self.at + 1..], &mut self.scratch)?;
        let (data, len) = (self.scratch.as_ptr().cast(), self.scratch.len().cast_signed());
        // SAFETY: bytes with their length, and a C string.
        self.gil.own(unsafe { (self.gil.api.PyUnicode_DecodeUTF8)(data, len, c"surrogatepass".as_ptr()) })
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Option<Ref> {
        let from = self.at;
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let first = self.at;
        let count = self.digits();
        if count == 0 || (count > 1 && self.text[first] == b'0') {
            return None;
        }
        let is_integer = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if is_integer && count <= DIGITS {
            let value =
                self.text[first..self.at].iter().fold(0, |all, digit| all * 10 + i64::from(digit - b'0'));
            let is_zero = is_negative && value == 0;
            if value <= SAFE && !is_zero {
                // SAFETY: with the GIL.
                let number =
                    unsafe { (self.gil.api.PyLong_FromLongLong)(if is_negative { -value } else { value }) };
                return self.gil.own(number);
            }
        }
        if !is_integer {
            self.fraction()?;
        }
        let value: f64 = std::str::from_utf8(&self.text[from..self.at]).ok()?.parse().ok()?;
        if !value.is_finite() {
            return None;
        }
        // SAFETY: with the GIL.
        self.gil.own(unsafe { (self.gil.api.PyFloat_FromDouble)(value) })
    }

    /// Goes past a fraction and an exponent.
    fn fraction(&mut self) -> Option<()> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return None;
            }
        }
        Some(())
    }
}
