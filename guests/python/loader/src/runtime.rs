// SPDX-License-Identifier: Apache-2.0
//! The runtime that the host gave us: its functions, and what the guest's threads share of it.

use crate::failure::error_object;
use crate::inbox::Inbox;
use crate::task::plan::Plan;
use polyloop_abi::{
    Bytes, FLAG_EMPTY, Host, Item, RuntimeHandle, STATUS_ERROR, STATUS_OK, STREAM_CANCELLED, STREAM_DONE,
    STREAM_END, STREAM_WAIT, TAKE_STOPPED, TAKE_TASK, Task, Watcher,
};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const LOOP_ENDED: &str =
    "the guest's asyncio loop has ended: async functions cannot run any more; load the guest again";

/// Answers of [`Runtime::take`].
pub enum Taken {
    Task(Task),
    Empty,
    Stopped,
}

/// Answers of [`Runtime::receive`].
pub enum Received {
    Item(Item),
    Wait,
    End,
    Cancelled,
    /// The task was answered before.
    Over,
}

/// One runtime of the host. Shared by the guest's threads and, through capsules, by Python.
pub struct Runtime {
    host: Host,
    handle: RuntimeHandle,
    /// Set once the guest is joined: the handle is not to be used again.
    closed: AtomicBool,
    /// Calls into the host that may outlast the GIL; `close` waits for them.
    users: AtomicUsize,
    /// What the asyncio loop has to look at.
    pub inbox: Inbox,
    plan: Mutex<Option<Arc<Plan>>>,
}

// SAFETY: the host's functions may be called from any thread, with its handle.
unsafe impl Send for Runtime {}
// SAFETY: as above; all else is behind a lock or atomic.
unsafe impl Sync for Runtime {}

impl Runtime {
    /// # Safety
    /// `host` and `handle` are those of a `start`, valid until its `join` returns.
    pub unsafe fn new(host: *const Host, handle: RuntimeHandle) -> Arc<Self> {
        Arc::new(Self {
            // SAFETY: a valid table of numbers and function pointers, copied.
            host: unsafe { host.read() },
            handle,
            closed: AtomicBool::new(false),
            users: AtomicUsize::new(0),
            inbox: Inbox::default(),
            plan: Mutex::new(None),
        })
    }

    pub fn take(&self, wait: bool) -> Taken {
        let mut task = MaybeUninit::uninit();
        // SAFETY: the runtime is open (threads that take are joined before it closes), `task` is
        // writable.
        match unsafe { (self.host.take)(self.handle, task.as_mut_ptr(), wait.into()) } {
            // SAFETY: TAKE_TASK says that the host wrote the task.
            TAKE_TASK => Taken::Task(unsafe { task.assume_init() }),
            TAKE_STOPPED => Taken::Stopped,
            _ => Taken::Empty,
        }
    }

    /// # Safety
    /// `data` is readable for `len` bytes.
    pub unsafe fn respond(&self, task: u64, status: u32, flags: u8, data: *const u8, len: usize) {
        if self.is_open() {
            // SAFETY: the runtime is open and the bytes readable, says the caller.
            unsafe { (self.host.respond)(self.handle, task, status, flags.into(), data, len) };
        }
    }

    pub fn respond_error(&self, task: u64, error: &str) {
        // SAFETY: a string is readable.
        unsafe { self.respond(task, STATUS_ERROR, 0, error.as_ptr(), error.len()) };
    }

    pub fn hold(&self, task: u64) {
        // SAFETY: called for a task that is not answered yet, so the runtime is open.
        unsafe { (self.host.hold)(self.handle, task) };
    }

    /// Gives up a held payload; after the join it stays with the host, which has to leak it.
    pub fn release(&self, task: u64) {
        if self.is_open() {
            // SAFETY: the runtime is open: both this and `close` run with the GIL.
            unsafe { (self.host.release)(self.handle, task) };
        }
    }

    /// Gives back an item of a request stream.
    pub fn give_back(&self, item: u64) {
        // SAFETY: no bytes are readable anywhere.
        unsafe { self.respond(item, STATUS_OK, FLAG_EMPTY, ptr::null(), 0) };
    }

    /// Takes the next item of a task's request stream. With `wait` this may block: to be called
    /// without the GIL, between `enter` and `leave`; else with the GIL.
    pub fn receive(&self, task: u64, wait: bool) -> Received {
        if !self.is_open() {
            return Received::Over;
        }
        let mut item = MaybeUninit::uninit();
        // SAFETY: the runtime is open, and stays so as long as this runs; `item` is writable.
        match unsafe { (self.host.receive)(self.handle, task, item.as_mut_ptr(), wait.into()) } {
            // SAFETY: STREAM_DONE says that the host wrote the item.
            STREAM_DONE => Received::Item(unsafe { item.assume_init() }),
            STREAM_WAIT => Received::Wait,
            STREAM_END => Received::End,
            STREAM_CANCELLED => Received::Cancelled,
            _ => Received::Over,
        }
    }

    /// Sends an item of a task's response stream: `STREAM_*`. As for `receive`, with `wait` this
    /// may block.
    ///
    /// # Safety
    /// `data` is readable for `len` bytes.
    pub unsafe fn send(&self, task: u64, flags: u8, data: *const u8, len: usize, wait: bool) -> i32 {
        if !self.is_open() {
            return STREAM_CANCELLED;
        }
        // SAFETY: the runtime is open, and stays so as long as this runs; the bytes are readable.
        unsafe { (self.host.send)(self.handle, task, flags.into(), data, len, wait.into()) }
    }

    /// Has `watcher` told of the task's events until it is answered.
    ///
    /// # Safety
    /// `context` is what the watcher expects, until the task is answered.
    pub unsafe fn watch(&self, task: u64, watcher: Watcher, context: *mut c_void) {
        if self.is_open() {
            // SAFETY: the runtime is open; the rest is the caller's word.
            unsafe { (self.host.watch)(self.handle, task, Some(watcher), context) };
        }
    }

    /// Whether the caller has given up a task that is not answered yet; with the GIL.
    pub fn is_cancelled(&self, task: u64) -> bool {
        // SAFETY: the runtime is open: both this and `close` run with the GIL.
        self.is_open() && unsafe { (self.host.cancelled)(self.handle, task) } == 1
    }

    /// Sets the context that goes back with the answer; false if that is too long. With the GIL.
    pub fn annotate(&self, task: u64, context: &[u8]) -> bool {
        // SAFETY: the runtime is open: both this and `close` run with the GIL.
        !self.is_open() || unsafe { (self.host.annotate)(self.handle, task, bytes(context)) } == 0
    }

    pub fn ready(&self, manifest: &[u8]) {
        // SAFETY: called in `start`.
        unsafe { (self.host.ready)(self.handle, bytes(manifest)) };
    }

    pub fn fail(&self, error: &[u8]) {
        if self.is_open() {
            // SAFETY: the runtime is open and the bytes readable.
            unsafe { (self.host.fail)(self.handle, bytes(error)) };
        }
    }

    /// Hands lines to the host. May wait for the host: to be called without the GIL, between
    /// `enter` and `leave`.
    pub fn log(&self, stream: u32, text: &[u8]) {
        // SAFETY: `enter` answered that the runtime is open, and keeps it so.
        unsafe { (self.host.log)(self.handle, stream, bytes(text)) };
    }

    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    /// Keeps the runtime open until `leave`; false if the runtime is closed. To be called with the
    /// GIL.
    pub fn enter(&self) -> bool {
        if self.is_open() {
            self.users.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        false
    }

    pub fn leave(&self) {
        self.users.fetch_sub(1, Ordering::Release);
    }

    /// Bars the host's functions from now on. To be called with the GIL, which orders this with
    /// `enter`.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub fn in_use(&self) -> bool {
        self.users.load(Ordering::Acquire) != 0
    }

    /// Hands a task to the asyncio loop, without the GIL; answers it if the loop has ended.
    pub fn post(&self, task: &Task) {
        if !self.inbox.post(task) {
            self.respond_error(task.id, &error_object("RuntimeError", LOOP_ENDED));
        }
    }

    /// Answers what was posted, and what will be: the loop has ended.
    pub fn refuse_posted(&self) {
        for task in self.inbox.shut() {
            self.respond_error(task.id, &error_object("RuntimeError", LOOP_ENDED));
        }
    }

    pub fn plan(&self) -> Option<Arc<Plan>> {
        lock(&self.plan).clone()
    }

    /// Sets the plan, or takes it away at the end; with the GIL.
    pub fn set_plan(&self, plan: Option<Arc<Plan>>) {
        let before = std::mem::replace(&mut *lock(&self.plan), plan);
        drop(before);
    }
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes { data: bytes.as_ptr(), len: bytes.len() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
