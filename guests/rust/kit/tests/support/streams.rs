// SPDX-License-Identifier: Apache-2.0
//! The streams, contexts and cancellations of the fake host.

use std::collections::{HashSet, VecDeque};
use std::ffi::c_void;

use polyloop_abi::*;
use serde_json::Value;

use super::{Answer, Guest, State, give_back, json, of};

/// Items have numbers that no task has.
const ITEMS: u64 = 1 << 40;
/// The longest item that the host takes.
const LARGEST: usize = 1 << 20;
/// The longest context.
const CONTEXT: usize = 4096;

/// How a function is called.
pub struct Call<'a> {
    pub flags: u8,
    pub payload: &'a [u8],
    /// How many items the guest may send before `credit`.
    pub credit: usize,
    pub deadline_ns: u64,
    pub context: &'a str,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self { flags: FLAG_SPREAD, payload: b"[]", credit: usize::MAX, deadline_ns: 0, context: "" }
    }
}

/// An item that the guest sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub flags: u32,
    pub data: Vec<u8>,
}

/// The streams of one task.
#[derive(Default)]
pub struct Line {
    /// Items to be received, and items received that were not given back.
    input: VecDeque<(u64, u32)>,
    lent: HashSet<u64>,
    ended: bool,
    takes_items: bool,
    credit: usize,
    cancelled: bool,
    watcher: Option<(Watcher, usize)>,
    pub watches: usize,
    pub notes: Option<Value>,
    pub sent: Vec<Item>,
    _context: Box<[u8]>,
}

impl Item {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.data).expect("the item is JSON")
    }
}

impl Line {
    /// Under the host's lock, as a host may: a watcher that calls the host hangs.
    fn tell(&self, events: u32) {
        if let Some((watcher, context)) = self.watcher {
            // SAFETY: the guest's word, until it answers.
            unsafe { watcher(context as *mut c_void, events) };
        }
    }
}

impl Guest {
    /// Submits a call with everything that may come with one.
    pub fn submit_call(&self, method: u16, call: &Call<'_>) -> u64 {
        let mut state = self.host.lock();
        state.next += 1;
        let id = state.next;
        let (data, len) = keep(&mut state, id, call.payload);
        let context: Box<[u8]> = call.context.as_bytes().into();
        state.queue.push_back(Task {
            id,
            kind: KIND_CALL,
            flags: call.flags,
            method,
            reserved: 0,
            data,
            len,
            deadline_ns: call.deadline_ns,
            context: context.as_ptr(),
            context_len: context.len() as u64,
        });
        let (takes_items, ended) = (call.flags & FLAG_OUTPUT != 0, call.flags & FLAG_INPUT == 0);
        let line = Line { takes_items, ended, credit: call.credit, _context: context, ..Line::default() };
        state.lines.insert(id, line);
        self.host.changed.notify_all();
        id
    }

    /// Submits a call by name.
    pub fn begin(&self, name: &str, call: &Call<'_>) -> u64 {
        let method = self.methods.iter().position(|one| one == name).expect("the guest has the method");
        self.submit_call(method as u16, call)
    }

    /// Calls a streaming function with JSON arguments, with credit without end.
    pub fn stream(&self, name: &str, arguments: &Value) -> (Vec<Item>, Answer) {
        let (flags, payload) = (FLAG_SPREAD | FLAG_OUTPUT, arguments.to_string());
        let id = self.begin(name, &Call { flags, payload: payload.as_bytes(), ..Call::default() });
        (self.all_sent(id), self.answer(id))
    }

    /// The same with items to receive, all of which are there from the beginning.
    pub fn duplex(&self, name: &str, arguments: &Value, input: &[Value]) -> (Vec<Item>, Answer) {
        let (flags, payload) = (FLAG_SPREAD | FLAG_OUTPUT | FLAG_INPUT, arguments.to_string());
        let id = self.begin(name, &Call { flags, payload: payload.as_bytes(), ..Call::default() });
        self.push_all(id, input);
        (self.all_sent(id), self.answer(id))
    }

    /// Calls a function with items to receive.
    pub fn feed(&self, name: &str, input: &[Value]) -> Answer {
        let id = self.begin(name, &Call { flags: FLAG_SPREAD | FLAG_INPUT, ..Call::default() });
        self.push_all(id, input);
        self.answer(id)
    }

    fn push_all(&self, id: u64, input: &[Value]) {
        for item in input {
            self.push(id, 0, item.to_string().as_bytes());
        }
        self.end(id);
    }

    /// What a task sent in all: waits for its answer.
    pub fn all_sent(&self, id: u64) -> Vec<Item> {
        self.until("the last item", |state| {
            state
                .answers
                .contains_key(&id)
                .then(|| std::mem::take(&mut state.lines.get_mut(&id).unwrap().sent))
        })
    }

    /// Waits until a task has sent so many items, and takes them.
    pub fn sent(&self, id: u64, count: usize) -> Vec<Item> {
        self.until("items", |state| {
            let sent = &mut state.lines.get_mut(&id).unwrap().sent;
            (sent.len() >= count).then(|| std::mem::take(sent))
        })
    }

    /// Looks at a task's streams now, also after its answer.
    pub fn line<T>(&self, id: u64, look: impl FnOnce(&Line) -> T) -> T {
        look(&self.host.lock().lines[&id])
    }

    /// Adds an item to a task's request stream, unless it is answered; the number is for `keeps`.
    pub fn push(&self, id: u64, flags: u8, payload: &[u8]) -> u64 {
        let mut state = self.host.lock();
        state.items += 1;
        let item = ITEMS + state.items;
        if live(&mut state, id).is_none() {
            return item;
        }
        keep(&mut state, item, payload);
        let line = state.lines.get_mut(&id).unwrap();
        line.input.push_back((item, u32::from(flags)));
        line.tell(EVENT_INPUT);
        self.host.changed.notify_all();
        item
    }

    /// Ends a task's request stream.
    pub fn end(&self, id: u64) {
        self.change(id, EVENT_INPUT, |line| line.ended = true);
    }

    /// Gives a task up.
    pub fn cancel(&self, id: u64) {
        self.change(id, EVENT_CANCELLED, |line| line.cancelled = true);
    }

    /// Lets a task send more items.
    pub fn credit(&self, id: u64, items: usize) {
        self.change(id, EVENT_CREDIT, |line| line.credit += items);
    }

    fn change(&self, id: u64, events: u32, change: impl FnOnce(&mut Line)) {
        let mut state = self.host.lock();
        let line = state.lines.get_mut(&id).unwrap();
        change(line);
        line.tell(events);
        self.host.changed.notify_all();
    }
}

fn keep(state: &mut State, id: u64, payload: &[u8]) -> (*const u8, u64) {
    let payload: Box<[u8]> = payload.into();
    let kept = (payload.as_ptr(), payload.len() as u64);
    state.requests.insert(id, payload);
    kept
}

pub(super) fn is_item(id: u64) -> bool {
    id > ITEMS
}

/// A task is answered: nothing is told of it any more, and its items are given back.
pub(super) fn end(state: &mut State, task: u64) {
    let line = state.lines.get_mut(&task).expect("the task was submitted");
    line.watcher = None;
    let unread = std::mem::take(&mut line.input).into_iter().map(|(item, _)| item);
    let items = std::mem::take(&mut line.lent).into_iter().chain(unread).collect::<Vec<_>>();
    for item in items {
        // What was given back by the guest is gone or held.
        if state.requests.contains_key(&item) && state.held.get(&item) != Some(&true) {
            give_back(state, item);
        }
    }
}

fn live(state: &mut State, task: u64) -> Option<&mut Line> {
    if state.answers.contains_key(&task) || state.taken_answers.contains(&task) {
        return None;
    }
    state.lines.get_mut(&task)
}

pub unsafe extern "C" fn receive(
    runtime: RuntimeHandle,
    task: u64,
    out: *mut polyloop_abi::Item,
    wait: u32,
) -> i32 {
    let host = of(runtime);
    let mut state = host.lock();
    loop {
        let Some(line) = live(&mut state, task) else { return STREAM_REFUSED };
        if line.cancelled {
            return STREAM_CANCELLED;
        }
        if let Some((id, flags)) = line.input.pop_front() {
            line.lent.insert(id);
            let payload = &state.requests[&id];
            let (data, len) = (payload.as_ptr(), payload.len() as u64);
            // SAFETY: the guest's own.
            unsafe { out.write(polyloop_abi::Item { id, data, len, flags, reserved: 0 }) };
            return STREAM_DONE;
        }
        if line.ended {
            return STREAM_END;
        }
        if wait == 0 {
            return STREAM_WAIT;
        }
        state = host.changed.wait(state).unwrap();
    }
}

pub unsafe extern "C" fn send(
    runtime: RuntimeHandle,
    task: u64,
    flags: u32,
    data: *const u8,
    len: usize,
    wait: u32,
) -> i32 {
    // SAFETY: the guest's word.
    let data = if len == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(data, len) }.to_vec() };
    let host = of(runtime);
    let mut state = host.lock();
    loop {
        let Some(line) = live(&mut state, task) else { return STREAM_REFUSED };
        if line.cancelled {
            return STREAM_CANCELLED;
        }
        if !line.takes_items || len > LARGEST {
            return STREAM_REFUSED;
        }
        if line.credit > 0 {
            line.credit -= 1;
            line.sent.push(Item { flags, data });
            host.changed.notify_all();
            return STREAM_DONE;
        }
        if wait == 0 {
            return STREAM_WAIT;
        }
        state = host.changed.wait(state).unwrap();
    }
}

pub unsafe extern "C" fn watch(
    runtime: RuntimeHandle,
    task: u64,
    watcher: Option<Watcher>,
    context: *mut c_void,
) -> i32 {
    let mut state = of(runtime).lock();
    let Some(line) = live(&mut state, task) else { return -1 };
    line.watcher = watcher.map(|watcher| (watcher, context as usize));
    line.watches += 1;
    if line.cancelled {
        line.tell(EVENT_CANCELLED);
    }
    0
}

pub unsafe extern "C" fn cancelled(runtime: RuntimeHandle, task: u64) -> i32 {
    let mut state = of(runtime).lock();
    live(&mut state, task).map_or(-1, |line| i32::from(line.cancelled))
}

pub unsafe extern "C" fn annotate(runtime: RuntimeHandle, task: u64, context: Bytes) -> i32 {
    let mut state = of(runtime).lock();
    match live(&mut state, task) {
        Some(line) if context.len <= CONTEXT => {
            line.notes = Some(json(context));
            0
        }
        _ => -1,
    }
}
