// SPDX-License-Identifier: Apache-2.0
//! What is kept of tasks that are more than one request and one answer: items that wait for the
//! guest, credit for those that it sends, who is to be told, and what goes back with the answer.
//!
//! All of a task is behind one of a few locks, which no user code runs under but watchers, whose
//! contract forbids them to block or to call back.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    ffi::c_void,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use polyloop_abi::{EVENT_CANCELLED, Watcher};
use polyloop_ring::Submission;

/// Locks; a task's slot chooses one.
const SHARDS: usize = 16;

/// An item of a request stream, before the guest has it.
#[derive(Clone, Copy, Debug)]
pub struct Inbound {
    /// Its request buffer.
    pub buffer: u32,
    /// `FLAG_BYTES`, `FLAG_EMPTY`.
    pub flags: u8,
    /// Bytes.
    pub length: u32,
    /// Of a pinned payload, or 0.
    pub address: u64,
}

#[derive(Clone, Copy)]
struct Watching {
    call: Watcher,
    context: *mut c_void,
}

// SAFETY: the ABI lets watchers be called from any thread, with their context.
unsafe impl Send for Watching {}

/// A task under way.
#[derive(Default)]
pub struct Stream {
    generation: u32,
    /// Items that wait for the guest.
    pub inbox: VecDeque<Inbound>,
    /// No more will come.
    pub ended: bool,
    /// Items and bytes that the guest may send.
    pub credit: (i64, i64),
    /// What goes back with the answer.
    pub context: Vec<u8>,
    /// Guest threads that wait for items or credit.
    bell: Arc<Condvar>,
    watching: Option<Watching>,
}

impl Stream {
    /// Tells who waits for the task, and who watches it.
    pub fn tell(&self, events: u32) {
        self.bell.notify_all();
        if let Some(Watching { call, context }) = self.watching {
            // SAFETY: the guest keeps both valid until the task is answered, and that waits for
            // this lock.
            unsafe { call(context, events) };
        }
    }

    /// Wakes who still waits: the task is answered.
    pub fn hang_up(&self) {
        self.bell.notify_all();
    }

    /// Has a watcher told from now on; at once of a cancellation that has been.
    pub fn watch(&mut self, watcher: Option<Watcher>, context: *mut c_void, cancelled: bool) {
        self.watching = watcher.map(|call| Watching { call, context });
        if cancelled {
            self.tell(EVENT_CANCELLED);
        }
    }

    /// Whether the guest may send an item.
    pub fn has_credit(&self) -> bool {
        self.credit.0 > 0 && self.credit.1 > 0
    }
}

type Shard = HashMap<u32, Stream>;

/// The tasks of a connection of which more is kept, by their slot.
#[derive(Default)]
pub struct Streams {
    shards: [Mutex<Shard>; SHARDS],
}

/// The lock that a slot's task is behind, taken.
pub struct Locked<'a> {
    shard: MutexGuard<'a, Shard>,
    slot: u32,
    generation: u32,
}

impl Streams {
    /// Takes the lock of a slot; what is asked of the lock is meant for the task of this
    /// generation.
    pub fn lock(&self, slot: u32, generation: u32) -> Locked<'_> {
        let shard = self.shards[slot as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        Locked { shard, slot, generation }
    }

    /// Tells everybody who waits or watches.
    pub fn tell_all(&self, events: u32) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for stream in shard.values() {
                stream.tell(events);
            }
        }
    }
}

impl Locked<'_> {
    /// The task, if something is kept of it.
    pub fn get(&mut self) -> Option<&mut Stream> {
        let Self { shard, slot, generation } = self;
        shard.get_mut(slot).filter(|stream| stream.generation == *generation)
    }

    /// The task; from now on something is kept of it.
    pub fn open(&mut self) -> &mut Stream {
        let Self { shard, slot, generation } = self;
        let fresh = || Stream { generation: *generation, ..Stream::default() };
        match shard.entry(*slot) {
            Entry::Occupied(entry) => {
                let stream = entry.into_mut();
                // Its answer took an earlier one away, or will find nothing of its own generation.
                if stream.generation != *generation {
                    *stream = fresh();
                }
                stream
            }
            Entry::Vacant(entry) => entry.insert(fresh()),
        }
    }

    /// Forgets the task; what was kept of it.
    pub fn close(&mut self) -> Option<Stream> {
        self.get()?;
        self.shard.remove(&self.slot)
    }

    /// Waits until somebody tells of the task; `None` once it is answered.
    pub fn wait(self) -> Option<Self> {
        let Self { shard, slot, generation } = self;
        let bell = Arc::clone(&shard.get(&slot).filter(|stream| stream.generation == generation)?.bell);
        let shard = bell.wait(shard).unwrap_or_else(PoisonError::into_inner);
        Some(Self { shard, slot, generation })
    }
}

impl From<Submission> for Inbound {
    fn from(item: Submission) -> Self {
        Self { buffer: item.deadline as u32, flags: item.flags, length: item.length, address: item.address }
    }
}
