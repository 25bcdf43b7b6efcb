// SPDX-License-Identifier: Apache-2.0
//! Keys of objects that were read: most come again, and are then made no more.

use crate::python::object::{Gil, Ref};
use std::sync::{Mutex, MutexGuard};

/// Longer ones are made each time.
const LONGEST: usize = 32;
const ENTRIES: usize = 1024;

/// Keys by what their bytes hash to; a newer one takes the place of an older one.
pub struct Keys([Option<Key>; ENTRIES]);

struct Key {
    bytes: [u8; LONGEST],
    len: usize,
    object: Ref,
}

static KEYS: Mutex<Keys> = Mutex::new(Keys([const { None }; ENTRIES]));

/// The keys, if nobody is reading with them: who has them may let go of the GIL when memory is
/// collected, so nobody may wait for them with it.
pub fn keys() -> Option<MutexGuard<'static, Keys>> {
    KEYS.try_lock().ok()
}

impl Keys {
    /// The `str` of some bytes; none, with an exception, if they are no text.
    pub fn get(&mut self, gil: Gil, bytes: &[u8]) -> Option<Ref> {
        if bytes.len() > LONGEST {
            return gil.utf8_text(bytes);
        }
        let entry = &mut self.0[place(bytes)];
        if let Some(key) = entry
            && key.bytes[..key.len] == *bytes
        {
            return Some(gil.share(key.object.ptr()));
        }
        let made = gil.utf8_text(bytes)?;
        let mut key = Key { bytes: [0; LONGEST], len: bytes.len(), object: gil.share(made.ptr()) };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        // Dropped where the entry is no longer borrowed; a `str` runs nothing when it goes.
        *entry = Some(key);
        Some(made)
    }
}

fn place(bytes: &[u8]) -> usize {
    let hash = bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95)
    });
    (hash >> 54) as usize % ENTRIES
}
