// SPDX-License-Identifier: Apache-2.0
//! Texts between quotes.

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// How many of the first bytes stand for themselves between quotes.
pub fn plain_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..at + 8).and_then(|chunk| chunk.try_into().ok()) {
        let special = special_bytes(u64::from_le_bytes(chunk));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of each special byte. Bits above the lowest one may be of others: a borrow.
fn special_bytes(word: u64) -> u64 {
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let is = |byte: u8| {
        let same = word ^ (ONES * u64::from(byte));
        same.wrapping_sub(ONES) & !same
    };
    (below | is(b'"') | is(b'\\')) & HIGHS
}

/// Appends a text in quotes.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let plain = plain_bytes(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&byte) = rest.get(plain) else { break };
        escape(byte, out);
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        b'"' | b'\\' => byte,
        _ => {
            let digits = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.extend([digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend([b'\\', letter]);
}

/// The text up to its closing quote, without its escapes, and how many bytes those were with the
/// quote; none if it has no end or a wrong escape. Lone surrogates become three bytes, as
/// `surrogatepass` has them.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    out.clear();
    let mut at = 0;
    loop {
        let plain = plain_bytes(&text[at..]);
        // What is no UTF-8 must not pass for a surrogate.
        out.extend_from_slice(std::str::from_utf8(&text[at..at + plain]).ok()?.as_bytes());
        at += plain;
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += unescape_one(text.get(at + 1..)?, out)? + 1,
            _ => return None,
        }
    }
}

/// Reads what comes after a backslash; answers how many bytes that is.
fn unescape_one(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let byte = match *text.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        byte @ (b'"' | b'\\' | b'/') => byte,
        b'u' => {
            let unit = hex(text.get(1..5)?)?;
            if let Some(other) = low_half(unit, &text[5..]) {
                push(0x1_0000 + ((unit - 0xd800) << 10) + (other - 0xdc00), out);
                return Some(11);
            }
            push(unit, out);
            return Some(5);
        }
        _ => return None,
    };
    out.push(byte);
    Some(1)
}

/// The second half of a pair of surrogates, if `rest` begins with one and `unit` is a first.
fn low_half(unit: u32, rest: &[u8]) -> Option<u32> {
    if !(0xd800..0xdc00).contains(&unit) || rest.get(..2)? != b"\\u" {
        return None;
    }
    hex(rest.get(2..6)?).filter(|other| (0xdc00..0xe000).contains(other))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

/// Appends a code point, a surrogate too.
fn push(point: u32, out: &mut Vec<u8>) {
    match char::from_u32(point) {
        Some(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        None => out.extend([
            0xe0 | (point >> 12) as u8,
            0x80 | (point >> 6 & 63) as u8,
            0x80 | (point & 63) as u8,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::{plain_bytes, quote, unescape};

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands_and_whatever_follows() {
        for special in [0, 1, 0x1f, b'"', b'\\'] {
            for at in 0..40 {
                for other in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff, b'"', 0] {
                    let mut bytes = vec![other; 40];
                    bytes[..at].fill(if other < 0x20 || other == b'"' { b'x' } else { other });
                    bytes[at] = special;
                    assert_eq!(plain_bytes(&bytes), at, "{special} {at} {other}");
                }
            }
        }
        assert_eq!(plain_bytes("grüße 😀 und mehr".as_bytes()), "grüße 😀 und mehr".len());
    }

    #[test]
    fn texts_come_back() {
        let mut out = Vec::new();
        for text in ["", "a", "\"\\\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}", "grüße 😀", "0123456789\"0123456789"]
        {
            let mut quoted = Vec::new();
            quote(text.as_bytes(), &mut quoted);
            assert_eq!(unescape(&quoted[1..], &mut out), Some(quoted.len() - 1), "{text}");
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn surrogates_are_joined_or_kept() {
        let mut out = Vec::new();
        for (text, bytes) in [
            (r#"\ud83d\ude00""#, "😀".as_bytes()),
            (r#"\ud83d""#, &[0xed, 0xa0, 0xbd]),
            (r#"\ud83dx""#, &[0xed, 0xa0, 0xbd, b'x']),
            (r#"\ude00\ud83d""#, &[0xed, 0xb8, 0x80, 0xed, 0xa0, 0xbd]),
            (r#"\u00e9\/""#, "é/".as_bytes()),
        ] {
            assert_eq!(unescape(text.as_bytes(), &mut out), Some(text.len()), "{text}");
            assert_eq!(out, bytes, "{text}");
        }
        for wrong in ["", "\\", "\\x\"", "\\u12\"", "\\u12g4\"", "a\n\"", "\\ud83d\\u\"", "+\\u+123\""] {
            assert_eq!(unescape(wrong.as_bytes(), &mut out), None, "{wrong}");
        }
    }
}
