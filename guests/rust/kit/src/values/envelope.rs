// SPDX-License-Identifier: Apache-2.0
//! The form of values that JSON alone cannot carry: a JSON text with tags, and bytes that are
//! attached to it. docs/internals/values.md describes it.

use std::ops::Range;

use crate::values::misfit::Misfit;

/// The first byte: no JSON text begins with it.
pub const MARK: u8 = 0x01;
const VERSION: u8 = 1;
const HEADER: usize = 16;
const ENTRY: usize = 16;

/// What attached numbers begin at a multiple of.
pub const NUMBERS_AT: usize = 64;
/// What attached bytes begin at a multiple of.
pub const BYTES_AT: usize = 8;

/// The key of a tag.
pub const TAG: &str = "~";

/// The levels that values may be nested.
pub const DEEPEST: usize = 127;

/// What is in a payload.
#[derive(Debug)]
pub struct Envelope<'de> {
    /// JSON with tags.
    pub text: &'de [u8],
    /// By their numbers in the text.
    pub attachments: Vec<&'de [u8]>,
}

impl<'de> Envelope<'de> {
    /// Finds the parts of a payload. Each word of the header is read once.
    ///
    /// # Errors
    /// If it is no envelope.
    pub fn of(payload: &'de [u8]) -> Result<Self, Misfit> {
        let broken = || Misfit::new("the host sent what is no envelope");
        let header = payload.first_chunk::<HEADER>().ok_or_else(broken)?;
        let [mark, version, ..] = *header;
        if mark != MARK {
            return Err(broken());
        }
        if version != VERSION {
            let what =
                format!("the host sent an envelope of version {version}, and this kit reads {VERSION}");
            return Err(Misfit::new(what));
        }
        let (text, count) = (word(header, 4) as usize, word(header, 8) as usize);
        let text_at =
            count.checked_mul(ENTRY).and_then(|table| table.checked_add(HEADER)).ok_or_else(broken)?;
        let table = payload.get(HEADER..text_at).ok_or_else(broken)?;
        let mut end = text_at.checked_add(text).ok_or_else(broken)?;
        let text = payload.get(text_at..end).ok_or_else(broken)?;
        let mut attachments = Vec::with_capacity(count);
        for entry in table.chunks_exact(ENTRY) {
            let place = place(entry, end).ok_or_else(broken)?;
            end = place.end;
            attachments.push(payload.get(place).ok_or_else(broken)?);
        }
        Ok(Self { text, attachments })
    }
}

/// The place that an entry of the table names, which begins at `end` or later.
fn place(entry: &[u8], end: usize) -> Option<Range<usize>> {
    let from = usize::try_from(u64::from_le_bytes(*entry.first_chunk()?)).ok()?;
    let len = usize::try_from(u64::from_le_bytes(*entry.last_chunk()?)).ok()?;
    (from >= end).then_some(from..from.checked_add(len)?)
}

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// Bytes that go beside a text.
#[derive(Default)]
pub struct Attached {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Attached {
    /// The number that the next one has.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Adds bytes that begin at a multiple of `at`.
    pub fn push(&mut self, bytes: &[u8], at: usize) {
        self.begin(at);
        self.bytes.extend_from_slice(bytes);
        self.end();
    }

    /// Begins one that [`Attached::number`] adds to, and [`Attached::end`] ends.
    pub fn begin(&mut self, at: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(at), 0);
        self.places.push(self.bytes.len()..self.bytes.len());
    }

    /// Adds a number to the one that was begun.
    pub fn number(&mut self, number: f64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Ends the one that was begun.
    pub fn end(&mut self) {
        if let Some(place) = self.places.last_mut() {
            place.end = self.bytes.len();
        }
    }

    /// Takes the one that was begun back, as its numbers.
    pub fn take_back(&mut self) -> Vec<f64> {
        let Some(place) = self.places.pop() else { return Vec::new() };
        let numbers = self.bytes[place.start..].as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
        let numbers = numbers.collect();
        self.bytes.truncate(place.start);
        numbers
    }

    /// Makes an envelope of the text in `buffer`.
    ///
    /// # Errors
    /// If the text is too long.
    pub fn seal(&self, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
        let text = buffer.len();
        let text_at = HEADER + self.places.len() * ENTRY;
        let end = (text_at + text).next_multiple_of(NUMBERS_AT);
        buffer.reserve(end + self.bytes.len() - text);
        buffer.resize(text_at + text, 0);
        buffer.copy_within(..text, text_at);
        write_header(buffer, text, self.places.len())?;
        for (entry, place) in buffer[HEADER..text_at].chunks_exact_mut(ENTRY).zip(&self.places) {
            write_entry(entry, end + place.start, place.len());
        }
        if !self.places.is_empty() {
            buffer.resize(end, 0);
            buffer.extend_from_slice(&self.bytes);
        }
        Ok(())
    }
}

/// Makes an envelope of a text and one run of bytes, which are copied once.
///
/// # Errors
/// If the text is too long.
pub fn seal_one(buffer: &mut Vec<u8>, text: &str, bytes: &[u8]) -> Result<(), &'static str> {
    let end = (HEADER + ENTRY + text.len()).next_multiple_of(NUMBERS_AT);
    buffer.clear();
    buffer.reserve(end + bytes.len());
    buffer.resize(HEADER + ENTRY, 0);
    write_header(buffer, text.len(), 1)?;
    write_entry(&mut buffer[HEADER..], end, bytes.len());
    buffer.extend_from_slice(text.as_bytes());
    buffer.resize(end, 0);
    buffer.extend_from_slice(bytes);
    Ok(())
}

fn write_header(buffer: &mut [u8], text: usize, count: usize) -> Result<(), &'static str> {
    let too_long = |_| "its text is longer than 4 GB";
    let (text, count) = (u32::try_from(text).map_err(too_long)?, u32::try_from(count).map_err(too_long)?);
    buffer[..4].copy_from_slice(&[MARK, VERSION, 0, 0]);
    buffer[4..8].copy_from_slice(&text.to_le_bytes());
    buffer[8..12].copy_from_slice(&count.to_le_bytes());
    buffer[12..16].fill(0);
    Ok(())
}

fn write_entry(entry: &mut [u8], at: usize, len: usize) {
    entry[..8].copy_from_slice(&(at as u64).to_le_bytes());
    entry[8..ENTRY].copy_from_slice(&(len as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_attached_is_found_again_where_its_kind_lies() {
        let mut attached = Attached::default();
        attached.push(b"abc", BYTES_AT);
        attached.push(&[7; 16], NUMBERS_AT);
        attached.push(b"", BYTES_AT);
        let mut buffer = b"[1]".to_vec();
        attached.seal(&mut buffer).unwrap();
        let envelope = Envelope::of(&buffer).unwrap();
        assert_eq!(envelope.text, b"[1]");
        assert_eq!(envelope.attachments, [&b"abc"[..], &[7; 16], b""]);
        let at = |index: usize| envelope.attachments[index].as_ptr() as usize - buffer.as_ptr() as usize;
        assert_eq!((at(0) % 8, at(1) % 64), (0, 0));
        let mut one = b"what was there before".to_vec();
        seal_one(&mut one, "{}", &[9; 100]).unwrap();
        let envelope = Envelope::of(&one).unwrap();
        assert_eq!((envelope.text, envelope.attachments[0]), (&b"{}"[..], &[9; 100][..]));
    }

    #[test]
    fn what_is_no_envelope_is_refused_at_every_length_and_with_every_word_wrong() {
        let mut attached = Attached::default();
        attached.push(&[7; 16], NUMBERS_AT);
        let mut buffer = b"[1]".to_vec();
        attached.seal(&mut buffer).unwrap();
        for length in 0..buffer.len() {
            assert!(Envelope::of(&buffer[..length]).is_err(), "{length}");
        }
        for (at, what) in
            [(1, 2), (4, 255), (7, 255), (8, 255), (11, 255), (16, 0), (23, 255), (24, 17), (31, 255)]
        {
            let mut other = buffer.clone();
            other[at] = what;
            assert!(Envelope::of(&other).is_err(), "{at}");
        }
    }
}
