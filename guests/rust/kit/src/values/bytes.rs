// SPDX-License-Identifier: Apache-2.0
//! Bytes of a request, or of an item of a stream, that a guest keeps longer than the host lends
//! them.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};

use crate::runtime::{Lease, Runtime, Use};

/// Bytes that are cheap to clone and may outlive the call that brought them, without a copy.
///
/// As an argument this keeps the request in the host's memory until the last clone is dropped, as
/// an item of an [`crate::Input`] that item. The unload of a runtime waits for that: to keep bytes
/// for good, copy them.
#[derive(Clone)]
pub struct Bytes(Owner);

#[derive(Clone)]
enum Owner {
    Guest(Arc<[u8]>),
    Lent { data: *const u8, len: usize, _held: Arc<Held> },
}

// SAFETY: the bytes are only read, and stay where they are while the owner lives; Arc does the
// rest.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

/// What the host lends: the request of a task, or an item of its stream.
pub struct Loan {
    id: u64,
    held: OnceLock<Arc<Held>>,
}

impl Loan {
    /// The loan of the task or item `id`.
    pub const fn new(id: u64) -> Self {
        Self { id, held: OnceLock::new() }
    }

    /// To be called before the loan is given back: what shares it keeps it from then on.
    pub fn settle(&self, runtime: &Arc<Runtime>) {
        if let Some(held) = self.held.get() {
            Held::keep_if_shared(held, runtime);
        }
    }
}

/// Where borrowed bytes come from, for types that keep them longer.
#[derive(Clone, Copy)]
pub struct Source<'a>(Option<&'a Loan>);

impl<'a> Source<'a> {
    /// Bytes that nobody lends.
    pub const NOWHERE: Self = Self(None);

    /// Bytes of this loan.
    pub fn of(loan: &'a Loan) -> Self {
        Self(Some(loan))
    }

    /// The part `data` of the loan, kept for as long as the result lives.
    pub fn share(self, data: &'a [u8]) -> Bytes {
        match self.0 {
            Some(loan) => Bytes::held(data, loan.held.get_or_init(|| Arc::new(Held::new(loan.id)))),
            None => Bytes::from(data),
        }
    }
}

/// The loan of one task or item, kept once [`Held::keep_if_shared`] found that it has another owner
/// than the [`Loan`].
struct Held {
    id: u64,
    kept: OnceLock<Lease>,
}

impl Held {
    /// The memory of `id`, which lives anyway until it is given back.
    fn new(id: u64) -> Self {
        Self { id, kept: OnceLock::new() }
    }

    /// From now on the memory lives as long as `this`.
    fn keep_if_shared(this: &Arc<Self>, runtime: &Arc<Runtime>) {
        // If the loan is the only owner none can appear any more: clones come from owners.
        if Arc::strong_count(this) == 1 {
            return;
        }
        let lease = runtime.lease(Use::Other).expect("a runtime with a call in flight is not closed");
        runtime.hold(this.id);
        let _ = this.kept.set(lease);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lease) = self.kept.get() {
            lease.runtime().release(self.id);
        }
    }
}

impl Bytes {
    /// `data` is a part of what `held` keeps.
    fn held(data: &[u8], held: &Arc<Held>) -> Self {
        Self(Owner::Lent { data: data.as_ptr(), len: data.len(), _held: Arc::clone(held) })
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Owner::Guest(data) => data,
            // SAFETY: the memory lives until it is given back, and after that by the `hold` of
            // `_held`.
            Owner::Lent { data, len, .. } => unsafe { std::slice::from_raw_parts(*data, *len) },
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
