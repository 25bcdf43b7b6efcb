// SPDX-License-Identifier: Apache-2.0
//! A list that changes seldom, while threads use it and sleep.

use crate::sync::{Arc, AtomicU32, Mutex, Ordering, add_before_looking};

/// The list, and how often it has changed.
pub struct VersionedList<T> {
    list: Mutex<Arc<Vec<T>>>,
    changes: AtomicU32,
}

/// The list as a thread has seen it.
pub struct Seen<T> {
    list: Arc<Vec<T>>,
    changes: u32,
}

impl<T> Default for VersionedList<T> {
    fn default() -> Self {
        Self { list: Mutex::new(Arc::new(Vec::new())), changes: AtomicU32::new(0) }
    }
}

impl<T: Clone> VersionedList<T> {
    /// The current list.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn see(&self) -> Seen<T> {
        // Before the list: what is older than its number is looked at once more, what is newer is
        // not missed.
        let changes = self.changes.load(Ordering::SeqCst);
        Seen { list: Arc::clone(&self.list.lock().unwrap()), changes }
    }

    /// The first of the current list that is what is looked for.
    ///
    /// # Panics
    /// Never, as above.
    pub fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        self.list.lock().unwrap().iter().find(|one| is_it(one)).cloned()
    }

    /// Whether the list is still what was seen.
    pub fn is(&self, seen: &Seen<T>) -> bool {
        // SYNC POINT versioned-list
        self.changes.load(Ordering::SeqCst) == seen.changes
    }

    /// Changes the list. Whoever sleeps is to be woken afterwards, to see it.
    ///
    /// # Panics
    /// If `edit` does; then nothing has changed.
    pub fn change<R>(&self, edit: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let mut list = self.list.lock().unwrap();
        let mut next = Vec::clone(&list);
        let result = edit(&mut next);
        *list = Arc::new(next);
        drop(list);
        // SYNC POINT versioned-list
        add_before_looking(&self.changes, 1);
        result
    }
}

impl<T> Seen<T> {
    /// What was seen.
    pub fn list(&self) -> &[T] {
        &self.list
    }
}
