// SPDX-License-Identifier: Apache-2.0
//! What the host knows, behind one lock.

use std::{
    collections::{HashMap, VecDeque},
    ffi::c_void,
    slice,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use polyloop_abi::{Bytes, FLAG_INPUT, RuntimeHandle, Task, Watcher};
use serde_json::Value;

use crate::{
    call::{Answer, Call, Item},
    page::Page,
};

/// A watchdog, and no claim about speed.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of an item that the host takes, at most.
pub const MAX_ITEM: usize = 1 << 20;

/// The host of one guest.
#[derive(Default)]
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What is behind its lock.
#[derive(Default)]
pub struct State {
    last: u64,
    /// Tasks that no guest thread has taken.
    pub queue: VecDeque<Task>,
    /// Requests and items whose memory the guest may touch.
    pub pages: HashMap<u64, Page>,
    /// Every task that there was.
    pub tasks: HashMap<u64, Progress>,
    /// Answers that no test has taken.
    pub answers: HashMap<u64, Answer>,
    /// Requests and items that the guest holds.
    pub held: usize,
    /// How many the guest has released.
    pub released: usize,
    /// How many items the guest has given back itself.
    pub returned: usize,
    /// Guest threads are to leave.
    pub stopped: bool,
    /// What the guest declared.
    pub manifest: Option<Value>,
    /// Why the guest did not start, or that it died.
    pub failure: Option<Value>,
    /// Lines that the guest printed, with the number of the stream.
    pub log: Vec<(u32, String)>,
}

// SAFETY: what tasks and items point to are pages, which belong to no thread and which nobody
// writes.
unsafe impl Send for State {}

/// A task, from when it was submitted.
pub struct Progress {
    /// `FLAG_*` of the call.
    pub flags: u8,
    /// How many items the guest may send.
    pub credit: usize,
    /// Items that no test has taken.
    pub sent: VecDeque<Item>,
    /// Items that the guest has not received.
    pub inbox: VecDeque<polyloop_abi::Item>,
    /// No more will come.
    pub ended: bool,
    /// The caller has given the task up.
    pub cancelled: bool,
    /// The task is over.
    pub answered: bool,
    /// Whom to tell of events.
    pub watcher: Option<(Watcher, usize)>,
    /// How often the guest asked to be told.
    pub watches: usize,
    /// What goes back with the answer.
    pub notes: Option<Value>,
    /// Guest threads that wait inside the host for this task.
    pub waiting: usize,
    context: Option<Page>,
}

impl Progress {
    /// Tells the watcher, under the host's lock as a host may: it must not call the host, nor wait.
    pub fn tell(&self, events: u32) {
        if let Some((watcher, context)) = self.watcher {
            // SAFETY: the guest's word, until the task is answered.
            unsafe { watcher(context as *mut c_void, events) };
        }
    }
}

impl State {
    /// Submits a call; its task.
    pub fn submit(&mut self, method: u16, call: &Call<'_>) -> u64 {
        let (id, data) = self.page(call.payload, None);
        let context = (!call.context.is_empty()).then(|| Page::new(call.context.as_bytes(), None));
        self.queue.push_back(Task {
            id,
            kind: polyloop_abi::KIND_CALL,
            flags: call.flags,
            method,
            reserved: 0,
            data,
            len: call.payload.len() as u64,
            deadline_ns: call.deadline_ns,
            context: context.as_ref().map_or(std::ptr::null(), Page::as_ptr),
            context_len: call.context.len() as u64,
        });
        let progress = Progress {
            flags: call.flags,
            credit: call.credit,
            sent: VecDeque::new(),
            inbox: VecDeque::new(),
            ended: call.flags & FLAG_INPUT == 0,
            cancelled: false,
            answered: false,
            watcher: None,
            watches: 0,
            notes: None,
            waiting: 0,
            context,
        };
        self.tasks.insert(id, progress);
        id
    }

    /// Puts a request, or an item of the task `owner`, into pages of its own: its name and its
    /// first byte.
    pub fn page(&mut self, bytes: &[u8], owner: Option<u64>) -> (u64, *const u8) {
        self.last += 1;
        let page = Page::new(bytes, owner);
        let data = page.as_ptr();
        self.pages.insert(self.last, page);
        (self.last, data)
    }

    /// A task that is not answered.
    pub fn open(&mut self, task: u64) -> Option<&mut Progress> {
        self.tasks.get_mut(&task).filter(|task| !task.answered)
    }

    /// A task that a test knows.
    ///
    /// # Panics
    /// If there is none.
    pub fn task(&mut self, task: u64) -> &mut Progress {
        self.tasks.get_mut(&task).expect("the task was submitted")
    }

    /// Ends a task: nothing is told of it any more, and its items are given back.
    ///
    /// # Panics
    /// If the task was answered before.
    pub fn answer(&mut self, task: u64, answer: Answer) {
        let progress = self.task(task);
        progress.answered = true;
        progress.watcher = None;
        progress.context = None;
        let left = |(id, page): (&u64, &Page)| (page.owner == Some(task) && !page.answered).then_some(*id);
        for item in self.pages.iter().filter_map(left).collect::<Vec<_>>() {
            self.give_back(item);
        }
        self.answers.insert(task, answer);
    }

    /// Takes the memory of a request or an item back, unless it is held.
    ///
    /// # Panics
    /// If that was done before.
    pub fn give_back(&mut self, id: u64) {
        let page = self.pages.get_mut(&id).expect("it is in flight");
        assert!(!page.answered, "{id} is answered twice");
        page.answered = true;
        if !page.held {
            self.pages.remove(&id);
        }
    }
}

impl Shared {
    /// Takes the lock.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock, and wakes everybody who waits when `change` has changed something.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.notify();
        result
    }

    /// Wakes everybody who waits.
    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// Lets others change something first.
    pub fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `probe` finds something.
    ///
    /// # Panics
    /// If that does not come.
    pub fn until<T>(&self, what: &str, mut probe: impl FnMut(&mut State) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(found) = probe(&mut state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} within {PATIENCE:?}");
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The host that a handle stands for.
pub fn shared(handle: RuntimeHandle) -> &'static Shared {
    // SAFETY: the guest's word: this is the handle that the guest was started with, which is never
    // freed.
    unsafe { &*handle.cast::<Shared>() }
}

/// What the guest passes.
pub fn slice<'a>(data: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: the guest's word: the bytes are readable while they are copied.
    if len == 0 { &[] } else { unsafe { slice::from_raw_parts(data, len) } }
}

/// JSON that the guest passes.
///
/// # Panics
/// If the bytes are no JSON.
pub fn json(bytes: Bytes) -> Value {
    serde_json::from_slice(slice(bytes.data, bytes.len)).expect("the guest speaks JSON")
}
