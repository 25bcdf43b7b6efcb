// SPDX-License-Identifier: Apache-2.0
//! What the asyncio loop has to look at, tasks and events of tasks, and the bell that tells it to.
//! Whether it does look, somebody may ask, too.

use polyloop_abi::Task;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

#[derive(Default)]
struct Content {
    tasks: VecDeque<Task>,
    /// `EVENT_*` of each task since the loop last looked.
    events: HashMap<u64, u32>,
    /// The loop was told, and will look.
    told: bool,
    /// The loop has ended: nobody will look.
    shut: bool,
    /// The loop runs: it looks when it is told.
    attended: bool,
    /// How many have asked whether the loop looks, and how many of them had asked when it last did.
    asked: u64,
    seen: u64,
}

/// Filled without the GIL, which the loop may hold. Its lock is never held while anything is
/// called.
#[derive(Default)]
pub struct Inbox {
    content: Mutex<Content>,
    /// Somebody who asked may go on.
    looked: Condvar,
    /// Wakes the asyncio loop, which waits for it like for a socket.
    bell: OnceLock<OwnedFd>,
}

impl Inbox {
    /// Puts a task where the loop will find it; false if the loop has ended.
    pub fn post(&self, task: &Task) -> bool {
        self.put(|content| content.tasks.push_back(*task))
    }

    /// Notes what happened to a task; without effect if the loop has ended.
    pub fn signal(&self, task: u64, events: u32) {
        self.put(|content| *content.events.entry(task).or_default() |= events);
    }

    /// Waits until the loop has looked once more; not for one that does not run.
    pub fn beat(&self) {
        let mut content = self.lock();
        if !content.attended {
            return;
        }
        content.asked += 1;
        let mine = content.asked;
        let ring = !std::mem::replace(&mut content.told, true);
        drop(content);
        self.ring(ring);
        let waits = |content: &mut Content| content.attended && content.seen < mine;
        drop(self.looked.wait_while(self.lock(), waits));
    }

    /// Notes that the loop runs from now on, or no longer.
    pub fn attend(&self, attended: bool) {
        self.lock().attended = attended;
        self.looked.notify_all();
    }

    /// Rings if the loop does not know yet that there is something to look at.
    fn put(&self, put: impl FnOnce(&mut Content)) -> bool {
        let mut content = self.lock();
        if content.shut {
            return false;
        }
        put(&mut content);
        let ring = !std::mem::replace(&mut content.told, true);
        drop(content);
        self.ring(ring);
        true
    }

    fn ring(&self, ring: bool) {
        if let Some(bell) = self.bell.get().filter(|_| ring) {
            let one = 1_u64;
            // SAFETY: an open eventfd, and eight readable bytes.
            unsafe { libc::write(bell.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
        }
    }

    /// Every task that was posted; the bell rings again for what comes from now on.
    pub fn tasks(&self) -> VecDeque<Task> {
        let mut count = 0_u64;
        if let Some(bell) = self.bell.get() {
            // SAFETY: an open eventfd that does not block, and eight writable bytes.
            unsafe { libc::read(bell.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
        }
        let mut content = self.lock();
        content.told = false;
        if content.seen != content.asked {
            content.seen = content.asked;
            self.looked.notify_all();
        }
        std::mem::take(&mut content.tasks)
    }

    /// What happened since the last time, by task. To be asked after `tasks`, and after these were
    /// begun: what happened to one of them before its first step is then known in time.
    pub fn events(&self) -> HashMap<u64, u32> {
        std::mem::take(&mut self.lock().events)
    }

    /// Takes nothing any more; answers the tasks that nobody will look at.
    pub fn shut(&self) -> VecDeque<Task> {
        self.lock().shut = true;
        self.tasks()
    }

    /// The file descriptor of the bell; none if the process has no more to give.
    pub fn bell(&self) -> Option<RawFd> {
        if let Some(bell) = self.bell.get() {
            return Some(bell.as_raw_fd());
        }
        // SAFETY: makes a file descriptor, which on success is ours.
        let bell = unsafe {
            let bell = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            (bell >= 0).then(|| OwnedFd::from_raw_fd(bell))
        }?;
        Some(self.bell.get_or_init(|| bell).as_raw_fd())
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
