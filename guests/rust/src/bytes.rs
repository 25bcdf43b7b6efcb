// SPDX-License-Identifier: Apache-2.0
//! Bytes of a request that a guest keeps beyond the call.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::call::Source;
use crate::parameter::Binary;
use crate::runtime::{Lease, Runtime, Use};

/// Bytes that are cheap to clone and may outlive the call that brought them, without a copy.
///
/// As an argument it keeps the request in the host's memory until the last clone is dropped. The unload of a
/// runtime waits for that: to keep bytes for good, copy them.
#[derive(Clone)]
pub struct Bytes(Owner);

#[derive(Clone)]
enum Owner {
    Guest(Arc<[u8]>),
    Request { data: *const u8, len: usize, _held: Arc<Held> },
}

// SAFETY: the bytes are only read, and stay where they are while the owner lives; Arc does the rest.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

/// The request of one task, kept once [`Held::keep_if_shared`] found that the call is not its only owner.
pub struct Held {
    task: u64,
    kept: OnceLock<Lease>,
}

impl Held {
    /// The request of `task`, which lives anyway until the task is answered.
    pub fn new(task: u64) -> Self {
        Self { task, kept: OnceLock::new() }
    }

    /// Called by the call before it answers: from then on the request lives as long as `this`.
    pub fn keep_if_shared(this: &Arc<Self>, runtime: &Arc<Runtime>) {
        // If the call is the only owner none can appear any more: clones come from owners.
        if Arc::strong_count(this) == 1 {
            return;
        }
        let lease = runtime.lease(Use::Other).expect("a runtime with a call in flight is not closed");
        runtime.hold(this.task);
        let _ = this.kept.set(lease);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lease) = self.kept.get() {
            lease.runtime().release(self.task);
        }
    }
}

impl Bytes {
    /// `data` is a part of the request that `held` keeps.
    pub(crate) fn held(data: &[u8], held: &Arc<Held>) -> Self {
        Self(Owner::Request { data: data.as_ptr(), len: data.len(), _held: Arc::clone(held) })
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Owner::Guest(data) => data,
            // SAFETY: `held` keeps the request: until the answer by the call, and afterwards by `hold`.
            Owner::Request { data, len, .. } => unsafe { std::slice::from_raw_parts(*data, *len) },
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bytes({} bytes)", self.len())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
impl Eq for Bytes {}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Self {
        Self(Owner::Guest(data.into()))
    }
}

impl From<&[u8]> for Bytes {
    fn from(data: &[u8]) -> Self {
        Self(Owner::Guest(data.into()))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

/// Within another type the bytes are copied: serde does not say which request they come from.
impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Binary::new(Source::NOWHERE))
    }
}
