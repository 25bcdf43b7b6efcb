// SPDX-License-Identifier: Apache-2.0
//! Builds the tree of a text, and reads its tags.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::values::envelope::{DEEPEST, Envelope, TAG};
use crate::values::misfit::Misfit;
use crate::values::numbers::NumberType;
use crate::values::text::Text;
use crate::values::tree::node::{Array, Integer, Node};

/// The largest number of milliseconds that JavaScript has a `Date` for.
const LAST_DATE: f64 = 8.64e15;

impl<'de> Node<'de> {
    /// The value in an envelope.
    ///
    /// # Errors
    /// If it is none.
    pub fn of_envelope(payload: &'de [u8]) -> Result<Self, Misfit> {
        let Envelope { text, attachments } = Envelope::of(payload)?;
        let attachments = RefCell::new(attachments.into_iter().map(Some).collect());
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        // Tags take levels of their own, so what counts are those of values.
        deserializer.disable_recursion_limit();
        let seed = Seed { attachments: Some(&attachments), level: 0 };
        let node = seed.deserialize(&mut deserializer);
        let node = node.and_then(|node| deserializer.end().map(|()| node));
        node.map_err(|error| Misfit::new(error.to_string()))
    }

    /// The value of a JSON text, in which there are no tags.
    pub fn of_json(text: &'de [u8]) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let node = Seed { attachments: None, level: 0 }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok().map(|()| node)
    }
}

/// Attachments that no tag has yet: each is used once, so that a small text makes no large value.
type Attachments<'de> = RefCell<Vec<Option<&'de [u8]>>>;

/// Makes a value; reads tags if there are attachments.
#[derive(Clone, Copy)]
struct Seed<'a, 'de> {
    attachments: Option<&'a Attachments<'de>>,
    level: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, 'de> {
    type Value = Node<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_, '_> {
    /// For what the value holds.
    ///
    /// # Errors
    /// If it is too deep.
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.level > DEEPEST {
            return Err(E::custom(format_args!("it is nested deeper than {DEEPEST} levels")));
        }
        Ok(Self { level: self.level + 1, ..self })
    }
}

impl<'de> Visitor<'de> for Seed<'_, 'de> {
    type Value = Node<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }
    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Signed(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Unsigned(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Float(value))
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        list(self.below()?, &mut items).map(Node::List)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some(key) = entries.next_key_seed(Text)? {
            if let Some(attachments) = self.attachments
                && key == TAG
            {
                let node = entries.next_value_seed(Tag { seed: self, attachments })?;
                let is_alone = object.is_empty() && entries.next_key_seed(Text)?.is_none();
                return if is_alone {
                    Ok(node)
                } else {
                    Err(A::Error::custom("a tag with other keys beside it"))
                };
            }
            object.push((key, entries.next_value_seed(self.below()?)?));
        }
        Ok(Node::Object(object))
    }
}

/// All items of a list.
///
/// # Errors
/// Those of the items.
fn list<'de, A: SeqAccess<'de>>(seed: Seed<'_, 'de>, items: &mut A) -> Result<Vec<Node<'de>>, A::Error> {
    let mut list = Vec::new();
    while let Some(item) = items.next_element_seed(seed)? {
        list.push(item);
    }
    Ok(list)
}

/// The list of a tag whose items are values.
struct Items<'a, 'de>(Seed<'a, 'de>);

impl<'de> DeserializeSeed<'de> for Items<'_, 'de> {
    type Value = Vec<Node<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, 'de> {
    type Value = Vec<Node<'de>>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        list(self.0.below()?, &mut items)
    }
}

/// What stands at the key `~`.
struct Tag<'a, 'de> {
    seed: Seed<'a, 'de>,
    attachments: &'a Attachments<'de>,
}

impl<'de> DeserializeSeed<'de> for Tag<'_, 'de> {
    type Value = Node<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Tag<'_, 'de> {
    type Value = Node<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a tag")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Node<'de>, A::Error> {
        let kind = parts.next_element_seed(Text)?.unwrap_or_default();
        let node = match &*kind {
            "b" => Node::Bytes(self.attachment(&mut parts)?),
            "a" => self.array(&mut parts)?,
            "l" => {
                let bytes = self.attachment(&mut parts)?;
                let shape = vec![bytes.len() / 8];
                let array = Array::new(NumberType::F8, shape, bytes).map_err(A::Error::custom)?;
                Node::Array(Array { is_list: true, ..array })
            }
            "i" => Node::Integer(integer(&text(&mut parts)?).ok_or_else(|| A::Error::custom("no integer"))?),
            "n" => Node::Float(number(&text(&mut parts)?).ok_or_else(|| A::Error::custom("no number"))?),
            "d" => date(&mut parts)?,
            "m" => Node::Map(self.pairs(&mut parts)?.collect()),
            "s" => Node::List(self.items(&mut parts)?),
            "o" => Node::Object(self.entries(&mut parts)?),
            "u" => Node::Null,
            _ => return Err(A::Error::custom("a kind of value that this kit does not know")),
        };
        match parts.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(node),
            Some(_) => Err(A::Error::custom("a tag with more parts than its kind has")),
        }
    }
}

impl<'de> Tag<'_, 'de> {
    fn attachment<A: SeqAccess<'de>>(&self, parts: &mut A) -> Result<&'de [u8], A::Error> {
        let index = part::<_, usize>(parts)?;
        let bytes = self.attachments.borrow_mut().get_mut(index).and_then(Option::take);
        bytes.ok_or_else(|| A::Error::custom("a tag without its attachment"))
    }

    fn array<A: SeqAccess<'de>>(&self, parts: &mut A) -> Result<Node<'de>, A::Error> {
        let bytes = self.attachment(parts)?;
        let name = text(parts)?;
        let number = NumberType::named(&name).ok_or_else(|| {
            A::Error::custom(format_args!(
                "an array of `{}`, which this kit does not know",
                name.escape_debug()
            ))
        })?;
        Array::new(number, part(parts)?, bytes).map(Node::Array).map_err(A::Error::custom)
    }

    fn items<A: SeqAccess<'de>>(&self, parts: &mut A) -> Result<Vec<Node<'de>>, A::Error> {
        parts.next_element_seed(Items(self.seed))?.ok_or_else(|| missing("a list"))
    }

    fn pairs<A: SeqAccess<'de>>(
        &self,
        parts: &mut A,
    ) -> Result<impl Iterator<Item = (Node<'de>, Node<'de>)> + use<'de, A>, A::Error> {
        let items = self.items(parts)?;
        if items.len() % 2 != 0 {
            return Err(A::Error::custom("a key without a value"));
        }
        let mut items = items.into_iter();
        Ok(std::iter::from_fn(move || items.next().zip(items.next())))
    }

    fn entries<A: SeqAccess<'de>>(&self, parts: &mut A) -> Result<Vec<(Cow<'de, str>, Node<'de>)>, A::Error> {
        let entry = |(key, value)| match key {
            Node::Text(key) => Ok((key, value)),
            _ => Err(A::Error::custom("an object with a key that is no text")),
        };
        self.pairs(parts)?.map(entry).collect()
    }
}

fn missing<E: Error>(what: &'static str) -> E {
    E::custom(format_args!("a tag without {what}"))
}

fn part<'de, A: SeqAccess<'de>, T: serde::Deserialize<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_element()?.ok_or_else(|| missing("its parts"))
}

fn text<'de, A: SeqAccess<'de>>(parts: &mut A) -> Result<Cow<'de, str>, A::Error> {
    parts.next_element_seed(Text)?.ok_or_else(|| missing("its text"))
}

fn date<'de, A: SeqAccess<'de>>(parts: &mut A) -> Result<Node<'de>, A::Error> {
    let millis: f64 = part(parts)?;
    let micros: u16 = parts.next_element()?.unwrap_or(0);
    let is_date = millis.abs() <= LAST_DATE && millis.fract() == 0.0 && micros < 1000;
    if is_date { Ok(Node::Date(millis as i64, micros)) } else { Err(A::Error::custom("no date")) }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "-0" => Some(-0.0),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Integer> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.is_empty() || !digits.bytes().all(is_digit) {
        return None;
    }
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let beyond = Integer::Beyond(is_negative, digits.len());
    let Ok(size) = u128::from_str_radix(digits, 16) else { return Some(beyond) };
    Some(match (is_negative, i128::try_from(size)) {
        (false, Ok(size)) => Integer::Signed(size),
        (false, Err(_)) => Integer::Unsigned(size),
        (true, Ok(size)) => Integer::Signed(-size),
        (true, Err(_)) if size == 1 << 127 => Integer::Signed(i128::MIN),
        (true, Err(_)) => beyond,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_size_are_read() {
        let table = [
            ("0", Some(Integer::Signed(0))),
            ("-1f", Some(Integer::Signed(-31))),
            ("00ff", Some(Integer::Signed(255))),
            ("7fffffffffffffffffffffffffffffff", Some(Integer::Signed(i128::MAX))),
            ("80000000000000000000000000000000", Some(Integer::Unsigned(1 << 127))),
            ("-80000000000000000000000000000000", Some(Integer::Signed(i128::MIN))),
            ("-80000000000000000000000000000001", Some(Integer::Beyond(true, 32))),
            ("100000000000000000000000000000000", Some(Integer::Beyond(false, 33))),
        ];
        for (text, value) in table {
            assert_eq!(integer(text), value, "{text}");
        }
        for text in ["", "-", "+1", "FF", "1_0", "0x1", " 1", "é"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }
}
