// SPDX-License-Identifier: Apache-2.0
//! What a call has besides its request and its answer: streams, cancellation, deadline and context.

use super::pages::Page;
use super::{Input, Output, Reply, Runtime, Shared, State, shared, slice};
use polyloop_abi::{
    Bytes, EVENT_CANCELLED, EVENT_CREDIT, EVENT_INPUT, FLAG_BYTES, FLAG_EMPTY, FLAG_INPUT, FLAG_OUTPUT, Item,
    RuntimeHandle, STREAM_CANCELLED, STREAM_DONE, STREAM_END, STREAM_REFUSED, STREAM_WAIT, Watcher,
};
use serde_json::Value;
use std::collections::VecDeque;
use std::ffi::c_void;

/// Items larger than this are refused.
pub const MAX_ITEM: usize = 1 << 20;
const MAX_CONTEXT: usize = 4096;

/// What a call is opened with.
#[derive(Default)]
pub struct Options {
    pub flags: u8,
    /// Items that may be sent before `grant` allows more.
    pub credit: usize,
    /// Nanoseconds of the monotonic clock; 0 for never.
    pub deadline_ns: u64,
    /// JSON, or nothing.
    pub context: &'static str,
}

impl Options {
    pub const INPUT: Self = Self { flags: FLAG_INPUT, credit: 0, deadline_ns: 0, context: "" };
    pub const DUPLEX: Self = Self { flags: FLAG_INPUT | FLAG_OUTPUT, credit: 1000, ..Self::INPUT };

    pub const fn output(credit: usize) -> Self {
        Self { flags: FLAG_OUTPUT, credit, ..Self::INPUT }
    }
}

/// A task until its answer, and what was sent before it until a test takes that.
pub struct Call {
    flags: u8,
    credit: usize,
    sent: VecDeque<Output>,
    received: VecDeque<Item>,
    ended: bool,
    cancelled: bool,
    answered: bool,
    watcher: Option<(Watcher, usize)>,
    notes: Option<Value>,
    /// Threads that wait inside `receive` or `send`.
    waiting: usize,
    #[allow(dead_code, reason = "held for its drop")]
    context: Option<Page>,
}

impl Call {
    pub fn new(options: &Options, context: Page) -> Self {
        Self {
            flags: options.flags,
            credit: options.credit,
            sent: VecDeque::new(),
            received: VecDeque::new(),
            ended: options.flags & FLAG_INPUT == 0,
            cancelled: false,
            answered: false,
            watcher: None,
            notes: None,
            waiting: 0,
            context: Some(context),
        }
    }

    /// Tells the watcher, under the host's lock: it must not call the host, nor wait.
    fn tell(&self, events: u32) {
        if let Some((watcher, context)) = self.watcher {
            // SAFETY: as the guest asked for; the task is not answered yet.
            unsafe { watcher(context as *mut c_void, events) };
        }
    }
}

impl State {
    pub fn answer(&mut self, task: u64, reply: Reply) {
        let call = self.calls.get_mut(&task).expect("a call");
        call.answered = true;
        call.watcher = None;
        call.context = None;
        let ended = |(id, page): (&u64, &Page)| (page.owner == Some(task) && !page.answered).then_some(*id);
        for item in self.pages.iter().filter_map(ended).collect::<Vec<_>>() {
            self.end(item);
        }
        self.responses.insert(task, reply);
    }
}

impl Runtime {
    fn with<T>(&self, id: u64, body: impl FnOnce(&mut Call) -> T) -> T {
        let mut state = self.shared.state.lock().expect("state");
        let result = body(state.calls.get_mut(&id).expect("a call"));
        self.shared.changed.notify_all();
        result
    }

    /// Sends an item of a request stream.
    pub fn feed(&self, id: u64, input: &Input) {
        let mut state = self.shared.state.lock().expect("state");
        let (flags, payload) = input.parts();
        if state.calls[&id].answered {
            return;
        }
        let (item, data) = state.page(payload, Some(id));
        let item = Item { id: item, data, len: payload.len() as u64, flags: flags.into(), reserved: 0 };
        let call = state.calls.get_mut(&id).expect("a call");
        call.received.push_back(item);
        call.tell(EVENT_INPUT);
        self.shared.changed.notify_all();
    }

    /// Ends a request stream.
    pub fn end(&self, id: u64) {
        self.with(id, |call| {
            call.ended = true;
            call.tell(EVENT_INPUT);
        });
    }

    /// Takes `items` more of a response stream.
    pub fn grant(&self, id: u64, items: usize) {
        self.with(id, |call| {
            call.credit += items;
            call.tell(EVENT_CREDIT);
        });
    }

    pub fn cancel(&self, id: u64) {
        self.with(id, |call| {
            call.cancelled = true;
            call.tell(EVENT_CANCELLED);
        });
    }

    /// The next item of a response stream; none once the call is answered.
    pub fn next(&self, id: u64) -> Option<Output> {
        self.until("item", |state| {
            let call = state.calls.get_mut(&id).expect("a call");
            call.sent.pop_front().map(Some).or(call.answered.then_some(None))
        })
    }

    /// Every item of a response stream that is left until the answer, and the answer.
    pub fn rest(&self, id: u64) -> (Vec<Output>, Reply) {
        let items = std::iter::from_fn(|| self.next(id)).collect();
        (items, self.wait(id))
    }

    /// How many items are sent and not taken yet.
    pub fn sent(&self, id: u64) -> usize {
        self.with(id, |call| call.sent.len())
    }

    /// Waits until a thread of the guest waits inside the host for this call.
    pub fn until_blocked(&self, id: u64) {
        self.until("waiting thread", |state| (state.calls[&id].waiting > 0).then_some(()));
    }

    /// Waits until the call is watched.
    pub fn until_watched(&self, id: u64) {
        self.until("watcher", |state| state.calls[&id].watcher.map(drop));
    }

    /// Waits until the guest has given back `count` items itself.
    pub fn until_returned(&self, count: usize) {
        self.until("returned items", |state| (state.returned >= count).then_some(()));
    }

    /// Waits until the guest has nothing more of the host's: what it answered with it lets go after the answer.
    pub fn until_free(&self) {
        self.until("memory given back", |state| (state.held == 0 && state.pages.is_empty()).then_some(()));
    }

    /// What the guest set to go back with the answer.
    pub fn notes(&self, id: u64) -> Option<Value> {
        self.with(id, |call| call.notes.clone())
    }
}

/// Asks `probe` until it answers something else than to wait, if the guest wants that.
fn block(shared: &Shared, task: u64, wait: u32, mut probe: impl FnMut(&mut Call) -> i32) -> i32 {
    let mut state = shared.state.lock().expect("state");
    loop {
        let Some(call) = state.calls.get_mut(&task) else { return STREAM_REFUSED };
        let status = match (call.answered, call.cancelled) {
            (true, _) => STREAM_REFUSED,
            (_, true) => STREAM_CANCELLED,
            _ => probe(call),
        };
        if status != STREAM_WAIT || wait == 0 {
            shared.changed.notify_all();
            return status;
        }
        call.waiting += 1;
        shared.changed.notify_all();
        state = shared.changed.wait(state).expect("state");
        if let Some(call) = state.calls.get_mut(&task) {
            call.waiting -= 1;
        }
    }
}

pub unsafe extern "C" fn receive(handle: RuntimeHandle, task: u64, out: *mut Item, wait: u32) -> i32 {
    block(shared(handle), task, wait, |call| match call.received.pop_front() {
        Some(item) => {
            // SAFETY: a place to write to.
            unsafe { out.write(item) };
            STREAM_DONE
        }
        None if call.ended => STREAM_END,
        None => STREAM_WAIT,
    })
}

pub unsafe extern "C" fn send(
    handle: RuntimeHandle,
    task: u64,
    flags: u32,
    data: *const u8,
    len: usize,
    wait: u32,
) -> i32 {
    block(shared(handle), task, wait, |call| {
        if call.flags & FLAG_OUTPUT == 0 || len > MAX_ITEM {
            return STREAM_REFUSED;
        }
        if call.credit == 0 {
            return STREAM_WAIT;
        }
        call.credit -= 1;
        let payload = slice(data, len).to_vec();
        call.sent.push_back(if flags & u32::from(FLAG_EMPTY) != 0 {
            Output::Empty
        } else if flags & u32::from(FLAG_BYTES) != 0 {
            Output::Bytes(payload)
        } else {
            Output::Encoded(payload)
        });
        STREAM_DONE
    })
}

pub unsafe extern "C" fn watch(
    handle: RuntimeHandle,
    task: u64,
    watcher: Option<Watcher>,
    context: *mut c_void,
) -> i32 {
    let shared = shared(handle);
    let mut state = shared.state.lock().expect("state");
    let Some(call) = state.calls.get_mut(&task).filter(|call| !call.answered) else { return -1 };
    call.watcher = watcher.map(|watcher| (watcher, context as usize));
    if call.cancelled {
        call.tell(EVENT_CANCELLED);
    }
    shared.changed.notify_all();
    0
}

pub unsafe extern "C" fn cancelled(handle: RuntimeHandle, task: u64) -> i32 {
    let state = shared(handle).state.lock().expect("state");
    match state.calls.get(&task) {
        Some(call) if !call.answered => call.cancelled.into(),
        _ => -1,
    }
}

pub unsafe extern "C" fn annotate(handle: RuntimeHandle, task: u64, context: Bytes) -> i32 {
    let mut state = shared(handle).state.lock().expect("state");
    let text = slice(context.data, context.len);
    match state.calls.get_mut(&task) {
        Some(call) if !call.answered && text.len() <= MAX_CONTEXT => {
            call.notes = Some(serde_json::from_slice(text).expect("a context is JSON"));
            0
        }
        _ => -1,
    }
}
