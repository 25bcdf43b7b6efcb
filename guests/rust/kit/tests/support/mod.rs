// SPDX-License-Identifier: Apache-2.0
//! A host of one queue and one map: enough to hold a guest to the ABI without a ring.
//!
//! It is strict: a request is overwritten when it is answered, and what the guest may not do is a panic.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use polyloop_abi::*;
use serde_json::Value;

pub mod streams;

pub use streams::Call;
use streams::Line;

/// A watchdog, not an expectation.
const WATCHDOG: Duration = Duration::from_mins(5);

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u32,
    pub flags: u32,
    pub data: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.data).expect("the answer is JSON")
    }

    /// The error object.
    pub fn error(&self) -> Value {
        assert_eq!(self.status, STATUS_ERROR, "{self:?}");
        self.json()
    }

    /// The message and code of the error object.
    pub fn refusal(&self) -> String {
        let error = self.error();
        format!("{}: {}", error["code"].as_str().unwrap_or("-"), error["message"].as_str().unwrap())
    }
}

#[derive(Default)]
struct State {
    next: u64,
    items: u64,
    queue: VecDeque<Task>,
    requests: HashMap<u64, Box<[u8]>>,
    /// Whether what is held was given back already.
    held: HashMap<u64, bool>,
    /// The streams of every task.
    lines: HashMap<u64, Line>,
    answers: HashMap<u64, Answer>,
    /// Answered, and looked at by the test.
    taken_answers: HashSet<u64>,
    answered: usize,
    stopped: bool,
    manifest: Option<Value>,
    failure: Option<Value>,
    log: Vec<(u32, String)>,
}

#[derive(Default)]
pub struct FakeHost {
    state: Mutex<State>,
    changed: Condvar,
}

pub struct Options {
    pub abi: u32,
    pub threads: u32,
    pub config: &'static str,
    pub codec: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self { abi: ABI_VERSION, threads: 2, config: "", codec: "json" }
    }
}

/// A started guest.
pub struct Guest {
    host: Box<FakeHost>,
    _table: Box<Host>,
    join: Join,
    started: *mut c_void,
    methods: Vec<String>,
}

/// A guest that did not start.
#[derive(Debug)]
pub struct Refused {
    pub rc: i32,
    pub error: Value,
}

/// Starts the guest that `#[polyloop::guest]` made in the test itself.
#[macro_export]
macro_rules! start {
    ($options:expr) => {{
        use polyloop_abi::{Host, RuntimeHandle, StartInfo};
        use std::ffi::c_void;
        unsafe extern "C" {
            fn polyloop_guest_start(
                host: *const Host,
                runtime: RuntimeHandle,
                info: *const StartInfo,
                guest: *mut *mut c_void,
            ) -> i32;
            fn polyloop_guest_join(guest: *mut c_void);
        }
        let options: &support::Options = &$options;
        // SAFETY: the two functions are the attribute's.
        unsafe { support::start_with(polyloop_guest_start, polyloop_guest_join, options) }
    }};
}

/// # Safety
/// The functions are those of a guest.
pub unsafe fn start_with(start: Start, join: Join, options: &Options) -> Result<Guest, Refused> {
    let host = Box::<FakeHost>::default();
    let table = Box::new(Host {
        size: size_of::<Host>() as u32,
        abi: options.abi,
        take,
        respond,
        hold,
        release,
        ready,
        fail,
        log,
        receive: streams::receive,
        send: streams::send,
        watch: streams::watch,
        cancelled: streams::cancelled,
        annotate: streams::annotate,
    });
    let borrowed = |text: &str| Bytes { data: text.as_ptr(), len: text.len() };
    let info = StartInfo {
        size: size_of::<StartInfo>() as u32,
        threads: options.threads,
        config: borrowed(options.config),
        codec: borrowed(options.codec),
        loader: borrowed(""),
    };
    let mut guest = null_mut();
    let handle = (&raw const *host).cast_mut().cast();
    // SAFETY: all of it lives until `unload`.
    let rc = unsafe { start(&raw const *table, handle, &raw const info, &raw mut guest) };
    if rc != 0 {
        let error = host.lock().failure.take().expect("a guest that does not start says why");
        return Err(Refused { rc, error });
    }
    let manifest = host.lock().manifest.clone().expect("a guest that starts is ready");
    let methods = manifest["methods"].as_array().into_iter().flatten();
    let methods = methods.map(|method| method["name"].as_str().unwrap().to_owned()).collect();
    Ok(Guest { host, _table: table, join, started: guest, methods })
}

impl Guest {
    /// Calls a function and waits for its answer.
    pub fn call(&self, name: &str, flags: u8, payload: &[u8]) -> Answer {
        self.answer(self.submit(name, flags, payload))
    }

    /// Calls a function with JSON arguments.
    pub fn json(&self, name: &str, arguments: &Value) -> Answer {
        self.call(name, FLAG_SPREAD, arguments.to_string().as_bytes())
    }

    /// What a call that succeeds returned, from JSON.
    pub fn value(&self, name: &str, arguments: &Value) -> Value {
        let answer = self.json(name, arguments);
        assert_eq!(
            (answer.status, answer.flags),
            (STATUS_OK, 0),
            "{}",
            String::from_utf8_lossy(&answer.data)
        );
        answer.json()
    }

    /// Submits a call; the id is for `answer`.
    pub fn submit(&self, name: &str, flags: u8, payload: &[u8]) -> u64 {
        let method = self.methods.iter().position(|one| one == name).expect("the guest has the method");
        self.submit_number(method as u16, flags, payload)
    }

    pub fn submit_number(&self, method: u16, flags: u8, payload: &[u8]) -> u64 {
        self.submit_call(method, &Call { flags, payload, ..Call::default() })
    }

    /// Waits for an answer.
    pub fn answer(&self, id: u64) -> Answer {
        self.until("an answer", |state| {
            let answer = state.answers.remove(&id)?;
            state.taken_answers.insert(id);
            Some(answer)
        })
    }

    /// Whether a request is still in the host's memory.
    pub fn keeps(&self, id: u64) -> bool {
        self.host.lock().requests.contains_key(&id)
    }

    /// The guest's thread may be the last to let go, just after the answer.
    pub fn wait_until_released(&self, id: u64) {
        self.until("release", |state| (!state.requests.contains_key(&id)).then_some(()));
    }

    pub fn manifest(&self) -> Value {
        self.host.lock().manifest.clone().unwrap()
    }

    /// Waits until the guest says that it has died.
    pub fn failure_after_a_while(&self) -> Value {
        self.until("failure", |state| state.failure.clone())
    }

    /// Waits for as many lines, and takes them.
    pub fn lines(&self, count: usize) -> Vec<(u32, String)> {
        self.until("lines", |state| (state.log.len() >= count).then(|| std::mem::take(&mut state.log)))
    }

    /// Lets the guest end: true if every task was answered.
    pub fn unload(self) -> bool {
        self.host.lock().stopped = true;
        self.host.changed.notify_all();
        // SAFETY: once, after a start.
        unsafe { (self.join)(self.started) };
        let state = self.host.lock();
        state.answered as u64 == state.next && state.held.is_empty()
    }

    fn until<T>(&self, what: &str, mut found: impl FnMut(&mut State) -> Option<T>) -> T {
        let deadline = Instant::now() + WATCHDOG;
        let mut state = self.host.lock();
        loop {
            if let Some(value) = found(&mut state) {
                return value;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} within {WATCHDOG:?}");
            state = self.host.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl FakeHost {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn of<'a>(runtime: RuntimeHandle) -> &'a FakeHost {
    // SAFETY: the handle is the FakeHost that `start_with` gave, which lives until after `join`.
    unsafe { &*runtime.cast::<FakeHost>() }
}

unsafe extern "C" fn take(runtime: RuntimeHandle, out: *mut Task, wait: u32) -> i32 {
    let host = of(runtime);
    let mut state = host.lock();
    loop {
        if let Some(task) = state.queue.pop_front() {
            // SAFETY: the guest's own.
            unsafe { out.write(task) };
            return TAKE_TASK;
        }
        if state.stopped {
            return TAKE_STOPPED;
        }
        if wait == 0 {
            return TAKE_EMPTY;
        }
        state = host.changed.wait(state).unwrap();
    }
}

unsafe extern "C" fn respond(
    runtime: RuntimeHandle,
    task: u64,
    status: u32,
    flags: u32,
    data: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: the guest's word.
    let data = if len == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(data, len) }.to_vec() };
    let host = of(runtime);
    let mut state = host.lock();
    if streams::is_item(task) {
        assert_eq!((status, len), (STATUS_OK, 0), "an item is given back, not answered");
    } else {
        assert!(
            !state.answers.contains_key(&task) && !state.taken_answers.contains(&task),
            "task {task} is answered twice"
        );
        streams::end(&mut state, task);
        state.answers.insert(task, Answer { status, flags, data });
        state.answered += 1;
    }
    give_back(&mut state, task);
    host.changed.notify_all();
    0
}

fn give_back(state: &mut State, id: u64) {
    match state.held.get_mut(&id) {
        Some(answered) => *answered = true,
        None => forget(state, id),
    }
}

/// Overwrites a request, so that whoever still reads it is found out.
fn forget(state: &mut State, task: u64) {
    let mut request = state.requests.remove(&task).expect("the request is there");
    request.fill(0xdd);
}

unsafe extern "C" fn hold(runtime: RuntimeHandle, task: u64) -> i32 {
    let mut state = of(runtime).lock();
    assert!(state.requests.contains_key(&task), "hold comes before respond");
    assert!(state.held.insert(task, false).is_none(), "task {task} is held twice");
    0
}

unsafe extern "C" fn release(runtime: RuntimeHandle, task: u64) -> i32 {
    let mut state = of(runtime).lock();
    assert_eq!(state.held.remove(&task), Some(true), "release comes once, after respond");
    forget(&mut state, task);
    of(runtime).changed.notify_all();
    0
}

fn json(bytes: Bytes) -> Value {
    // SAFETY: the guest's word.
    let text = unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) };
    serde_json::from_slice(text).expect("the guest speaks JSON")
}

unsafe extern "C" fn ready(runtime: RuntimeHandle, manifest: Bytes) -> i32 {
    of(runtime).lock().manifest = Some(json(manifest));
    0
}

unsafe extern "C" fn fail(runtime: RuntimeHandle, error: Bytes) -> i32 {
    of(runtime).lock().failure = Some(json(error));
    of(runtime).changed.notify_all();
    0
}

unsafe extern "C" fn log(runtime: RuntimeHandle, stream: u32, text: Bytes) -> i32 {
    // SAFETY: the guest's word.
    let text = unsafe { std::slice::from_raw_parts(text.data, text.len) };
    let text = String::from_utf8(text.to_vec()).expect("lines are UTF-8");
    of(runtime).lock().log.push((stream, text));
    of(runtime).changed.notify_all();
    0
}
