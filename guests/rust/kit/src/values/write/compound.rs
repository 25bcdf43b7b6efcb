// SPDX-License-Identifier: Apache-2.0
//! Lists, maps and structs as they are written.

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Value};

use super::probe::Probe;
use super::writer::{PACKED, Writer};
use crate::values::envelope::NUMBERS_AT;
use crate::values::numbers::integer_of;

/// By this a struct says that it is JSON already.
const RAW: &str = "$serde_json::private::RawValue";
/// By this that it is a number with as many digits as it had (the feature `arbitrary_precision`).
const DIGITS: &str = "$serde_json::private::Number";

enum State {
    /// Before the first item.
    First,
    /// The same; the list is long enough for numbers to lie together.
    Perhaps,
    /// After an item.
    Rest,
    /// All items were numbers, and lie together.
    Packed,
}

/// A list.
pub struct Items<'w> {
    writer: &'w mut Writer,
    state: State,
    /// What closes the object around it.
    close: &'static str,
}

impl<'w> Items<'w> {
    #[inline]
    pub fn begin(writer: &'w mut Writer, len: Option<usize>) -> Result<Self, Error> {
        writer.enter()?;
        writer.text.push(b'[');
        let state = if len.is_some_and(|len| len >= PACKED) { State::Perhaps } else { State::First };
        Ok(Self { writer, state, close: "" })
    }

    pub fn within((writer, close): (&'w mut Writer, &'static str), len: usize) -> Result<Self, Error> {
        Ok(Self { close, ..Self::begin(writer, Some(len))? })
    }

    #[inline]
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        match self.state {
            State::Rest => self.writer.text.push(b','),
            State::First => self.state = State::Rest,
            State::Perhaps | State::Packed => return self.number(value),
        }
        value.serialize(&mut *self.writer)
    }

    #[inline(never)]
    fn number<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        match (value.serialize(Probe), &self.state) {
            (Ok(number), State::Packed) => self.writer.attached.number(number),
            (Ok(number), _) if number.is_finite() && number.fract() != 0.0 => {
                self.writer.text.pop();
                self.writer.attached.begin(NUMBERS_AT);
                self.writer.attached.number(number);
                self.state = State::Packed;
            }
            (_, State::Packed) => {
                self.unpack()?;
                return self.item(value);
            }
            _ => {
                self.state = State::First;
                return self.item(value);
            }
        }
        Ok(())
    }

    /// There is another thing among the numbers.
    fn unpack(&mut self) -> Result<(), Error> {
        self.state = State::First;
        self.writer.text.push(b'[');
        for number in self.writer.attached.take_back() {
            // Those without a fraction are integers, as in a packed list.
            match integer_of(number) {
                Some(integer) if integer != 0 || number.is_sign_positive() => self.item(&integer)?,
                _ => self.item(&number)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn close(self) {
        if matches!(self.state, State::Packed) {
            self.writer.attached.end();
            self.writer.tag('l', self.writer.attached.count() - 1);
        } else {
            self.writer.text.push(b']');
        }
        self.writer.leave(self.close);
    }
}

/// Whether entries stand in an object, or as pairs in a tag.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Object,
    Pairs,
}

/// A map.
pub struct Entries<'w> {
    writer: &'w mut Writer,
    /// Where its text begins.
    start: usize,
    is_first: bool,
    form: Form,
    close: &'static str,
}

/// What comes before the pairs of a tag, after its brace; the kind is at [`KIND_AT`].
const PAIRS: &[u8] = b"\"~\":[\"o\",[";
/// Where the kind is, from the brace on.
const KIND_AT: usize = 7;

impl<'w> Entries<'w> {
    #[inline]
    pub fn begin(writer: &'w mut Writer) -> Result<Self, Error> {
        writer.enter()?;
        let start = writer.text.len();
        writer.text.push(b'{');
        Ok(Self { writer, start, is_first: true, form: Form::Object, close: "" })
    }

    /// An object that holds what a variant does, and what closes it.
    pub fn of_variant(
        writer: &'w mut Writer,
        variant: &'static str,
    ) -> Result<(&'w mut Writer, &'static str), Error> {
        let mut entries = Self::begin(writer)?;
        entries.key(variant)?;
        let Self { writer, form, .. } = entries;
        writer.level -= 1;
        Ok((writer, if form == Form::Object { "}" } else { "]]}" }))
    }

    #[inline]
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if !self.is_first {
            self.writer.text.push(b',');
        }
        self.is_first = false;
        let at = self.writer.text.len();
        key.serialize(&mut *self.writer)?;
        let is_text = self.writer.text.get(at) == Some(&b'"');
        let is_tag = self.writer.text.len() - at == 3 && self.writer.text[at + 1] == b'~';
        if self.form == Form::Object && is_text && !is_tag {
            self.writer.text.push(b':');
        } else {
            self.paired(at);
        }
        Ok(())
    }

    /// After a key, at `at`, that an object cannot have, or among pairs.
    #[cold]
    fn paired(&mut self, at: usize) {
        let text = &mut self.writer.text;
        let is_text = text[at] == b'"';
        if self.form == Form::Object {
            self.form = Form::Pairs;
            self.writer.is_tagged = true;
            colons_to_commas(&mut text[self.start + 1..at]);
            text.splice(self.start + 1..=self.start, PAIRS.iter().copied());
        }
        if !is_text {
            text[self.start + KIND_AT] = b'm';
        }
        text.push(b',');
    }

    #[inline]
    fn close(self) {
        if self.form == Form::Pairs {
            self.writer.raw("]]");
        }
        self.writer.text.push(b'}');
        self.writer.leave(self.close);
    }
}

/// Those between the keys and the values of the entries in `text`, not those within them.
fn colons_to_commas(text: &mut [u8]) {
    let (mut depth, mut is_in_text, mut is_escaped) = (0, false, false);
    for byte in text {
        match (*byte, is_in_text) {
            (_, true) if is_escaped => is_escaped = false,
            (b'\\', true) => is_escaped = true,
            (b'"', _) => is_in_text = !is_in_text,
            (b'{' | b'[', false) => depth += 1,
            (b'}' | b']', false) => depth -= 1,
            (b':', false) if depth == 0 => *byte = b',',
            _ => {}
        }
    }
}

/// A struct.
pub enum Structure<'w> {
    Entries(Entries<'w>),
    /// One that `serde_json` has a text in.
    Text(&'w mut Writer),
}

impl<'w> Structure<'w> {
    #[inline]
    pub fn begin(writer: &'w mut Writer, name: &'static str) -> Result<Self, Error> {
        if name == RAW || name == DIGITS {
            Ok(Self::Text(writer))
        } else {
            Entries::begin(writer).map(Self::Entries)
        }
    }

    pub fn within((writer, close): (&'w mut Writer, &'static str)) -> Result<Self, Error> {
        Ok(Self::Entries(Entries { close, ..Entries::begin(writer)? }))
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        match self {
            Self::Entries(entries) => {
                entries.key(key)?;
                value.serialize(&mut *entries.writer)
            }
            Self::Text(writer) => written(writer, key, value),
        }
    }

    #[inline]
    fn close(self) {
        if let Self::Entries(entries) = self {
            entries.close();
        }
    }
}

/// Writes what `serde_json` has as a text.
#[cold]
fn written<T: Serialize + ?Sized>(writer: &mut Writer, name: &str, value: &T) -> Result<(), Error> {
    let Value::String(text) = serde_json::to_value(value)? else {
        return Err(Error::custom("it is not written as serde_json writes"));
    };
    if name == DIGITS {
        if let Ok(integer) = text.parse::<i128>() {
            return writer.serialize_i128(integer);
        }
    } else if text.contains("\"~\"") {
        // It may have a key that needs a tag.
        return serde_json::from_str::<Value>(&text)?.serialize(writer);
    }
    writer.raw(&text);
    Ok(())
}

macro_rules! items {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Items<'_> {
            type Ok = ();
            type Error = Error;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.item(value)
            }
            #[inline]
            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )*};
}
items!(
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! structures {
    ($($trait:ident),*) => {$(
        impl $trait for Structure<'_> {
            type Ok = ();
            type Error = Error;
            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
                self.field(key, value)
            }
            #[inline]
            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )*};
}
structures!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Error;
    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }
    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)
    }
    #[inline]
    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}
