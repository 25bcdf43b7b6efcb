// SPDX-License-Identifier: Apache-2.0
//! The codecs of payloads: JSON and, with the feature `msgpack`, `MessagePack`.

use std::cell::Cell;

use serde::Serialize;
use serde::de::Deserializer;

use crate::values::envelope::MARK;
use crate::values::misfit::Misfit;
use crate::values::tree::node::Node;
use crate::values::write::write;

/// What a thread keeps of its buffer between calls.
const KEPT: usize = 1 << 20;

/// How arguments and results are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `json`
    Json,
    /// `msgpack`
    #[cfg(feature = "msgpack")]
    MsgPack,
}

/// Decodes with whatever deserializer the codec has.
pub trait Decode<'de>: Copy {
    /// What comes out.
    type Value;
    /// # Errors
    /// What the deserializer says.
    fn decode<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error>;
}

impl Codec {
    /// The codec that a host asked for, or why not.
    pub fn named(name: &[u8]) -> Result<Self, String> {
        match name {
            b"json" | b"" => Ok(Self::Json),
            #[cfg(feature = "msgpack")]
            b"msgpack" => Ok(Self::MsgPack),
            other => Err(format!(
                "this Rust guest does not know the codec `{}`: load it with `json`{}",
                String::from_utf8_lossy(other),
                if cfg!(feature = "msgpack") { " or `msgpack`" } else { " (it was built without `msgpack`)" }
            )),
        }
    }

    /// The name by which hosts ask for the codec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            #[cfg(feature = "msgpack")]
            Self::MsgPack => "msgpack",
        }
    }

    /// Decodes one whole payload.
    ///
    /// # Errors
    /// What does not fit, and where.
    pub fn decode<'de, T: Decode<'de>>(self, payload: &'de [u8], target: T) -> Result<T::Value, Misfit> {
        match self {
            Self::Json if payload.first() == Some(&MARK) => target.decode(Node::of_envelope(payload)?),
            Self::Json => json(payload, target).map_err(|error| misfit_of(payload, target, &error)),
            #[cfg(feature = "msgpack")]
            Self::MsgPack => {
                let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
                target.decode(&mut deserializer).map_err(|error| Misfit::new(error.to_string()))
            }
        }
    }

    fn encode<T: Serialize + ?Sized>(self, value: &T, buffer: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Json => write(value, buffer).map_err(|error| error.to_string()),
            #[cfg(feature = "msgpack")]
            Self::MsgPack => rmp_serde::encode::write_named(buffer, value).map_err(|error| error.to_string()),
        }
    }
}

fn json<'de, T: Decode<'de>>(payload: &'de [u8], target: T) -> Result<T::Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let value = target.decode(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// What is wrong with a text, and where: `serde_json` says at which column, which nobody sees, so the
/// text is read again as an envelope's is.
#[cold]
fn misfit_of<'de, T: Decode<'de>>(payload: &'de [u8], target: T, error: &serde_json::Error) -> Misfit {
    match Node::of_json(payload).map(|node| target.decode(node)) {
        Some(Err(misfit)) => misfit,
        _ => Misfit::new(error.to_string()),
    }
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encodes `value` into the thread's buffer, drops it, then shows the bytes to `then`.
///
/// The value is dropped first because it may borrow from a request that `then` gives back.
pub fn encoded<T: Serialize, R>(codec: Codec, value: T, then: impl FnOnce(&[u8]) -> R) -> Result<R, String> {
    // A Serialize of the guest's may itself encode: it finds an empty buffer, which is right too.
    let mut buffer = BUFFER.take();
    buffer.clear();
    let outcome = codec.encode(&value, &mut buffer);
    drop(value);
    let outcome = outcome.map(|()| then(&buffer));
    if buffer.capacity() <= KEPT {
        BUFFER.set(buffer);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Plain;

    impl<'de> Decode<'de> for Plain {
        type Value = u8;
        fn decode<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
            serde::Deserialize::deserialize(deserializer)
        }
    }

    #[test]
    fn an_unknown_codec_is_refused_by_name() {
        let message = Codec::named(b"avro").unwrap_err();
        assert!(message.contains("`avro`") && message.contains("`json`"), "{message}");
    }

    #[test]
    fn garbage_after_a_json_value_is_an_error() {
        assert_eq!(Codec::Json.decode(b" 7 ", Plain).unwrap(), 7);
        assert!(Codec::Json.decode(b"7 7", Plain).is_err());
        assert!(Codec::Json.decode(b"", Plain).is_err());
    }

    #[test]
    fn the_buffer_of_a_thread_is_used_again_but_not_when_it_is_huge() {
        let address = |bytes: &[u8]| bytes.as_ptr() as usize;
        let first = encoded(Codec::Json, "a longer text to begin with", address).unwrap();
        assert_eq!(encoded(Codec::Json, "short", address).unwrap(), first);
        encoded(Codec::Json, "x".repeat(2 * KEPT), address).unwrap();
        assert_eq!(BUFFER.take().capacity(), 0);
    }
}
