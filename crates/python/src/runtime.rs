// SPDX-License-Identifier: Apache-2.0
//! The runtime that the host gave us: its functions, and what the guest's threads share of it.

use crate::failure::error_object;
use crate::plan::Plan;
use polyloop_abi::{Bytes, Host, RuntimeHandle, STATUS_ERROR, TAKE_STOPPED, TAKE_TASK, Task};
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

const LOOP_ENDED: &str =
    "the guest's asyncio loop has ended: async functions cannot run any more; load it anew";

/// Answers of [`Runtime::take`].
pub enum Taken {
    Task(Task),
    Empty,
    Stopped,
}

/// Tasks on their way to the asyncio loop.
#[derive(Default)]
struct Inbox {
    tasks: VecDeque<Task>,
    /// The loop was told, and will look.
    told: bool,
    /// The loop has ended: nobody will look.
    shut: bool,
}

/// One runtime of the host. Shared by the guest's threads and, through capsules, by Python.
pub struct Runtime {
    host: Host,
    handle: RuntimeHandle,
    /// Set once the guest is joined: the handle is not to be used again.
    closed: AtomicBool,
    /// Calls into the host that may outlast the GIL; `close` waits for them.
    users: AtomicUsize,
    inbox: Mutex<Inbox>,
    /// Wakes the asyncio loop, which waits for it like for a socket.
    bell: OnceLock<OwnedFd>,
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
            inbox: Mutex::default(),
            bell: OnceLock::new(),
            plan: Mutex::new(None),
        })
    }

    pub fn take(&self, wait: bool) -> Taken {
        let mut task = MaybeUninit::uninit();
        // SAFETY: the runtime is open (threads that take are joined before it closes), `task` is writable.
        match unsafe { (self.host.take)(self.handle, task.as_mut_ptr(), wait.into()) } {
            // SAFETY: TAKE_TASK says that the host wrote it.
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

    /// Hands lines to the host. May wait for it: call it without the GIL, between `enter` and `leave`.
    pub fn log(&self, stream: u32, text: &[u8]) {
        // SAFETY: `enter` answered that the runtime is open, and keeps it so.
        unsafe { (self.host.log)(self.handle, stream, bytes(text)) };
    }

    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    /// Keeps the runtime open until `leave`; false where it is closed. Call it with the GIL.
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

    /// Bars the host's functions from now on. Call it with the GIL, which orders it with `enter`.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub fn in_use(&self) -> bool {
        self.users.load(Ordering::Acquire) != 0
    }

    /// Puts a task where the asyncio loop will find it, without the GIL, which the loop may hold:
    /// rings where the loop does not know of tasks yet. Answers it where the loop has ended.
    pub fn post(&self, task: &Task) {
        let mut inbox = lock(&self.inbox);
        if inbox.shut {
            drop(inbox);
            return self.respond_error(task.id, &error_object("RuntimeError", LOOP_ENDED));
        }
        inbox.tasks.push_back(*task);
        let ring = !std::mem::replace(&mut inbox.told, true);
        drop(inbox);
        if let Some(bell) = self.bell.get().filter(|_| ring) {
            let one = 1_u64;
            // SAFETY: an open eventfd, and eight readable bytes.
            unsafe { libc::write(bell.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
        }
    }

    /// Everything that was posted; the bell rings again for what comes from now on.
    pub fn collect(&self) -> VecDeque<Task> {
        let mut count = 0_u64;
        if let Some(bell) = self.bell.get() {
            // SAFETY: an open eventfd that does not block, and eight writable bytes.
            unsafe { libc::read(bell.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
        }
        let mut inbox = lock(&self.inbox);
        inbox.told = false;
        std::mem::take(&mut inbox.tasks)
    }

    /// Answers what was posted, and what will be: the loop has ended.
    pub fn refuse_posted(&self) {
        lock(&self.inbox).shut = true;
        for task in self.collect() {
            self.respond_error(task.id, &error_object("RuntimeError", LOOP_ENDED));
        }
    }

    /// The file descriptor of the bell; none where the process has no more to give.
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
