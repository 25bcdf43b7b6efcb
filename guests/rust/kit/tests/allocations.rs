// SPDX-License-Identifier: Apache-2.0
//! What a call allocates in the kit, counted: the hot path is a number that noise cannot move.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use polyloop_abi::*;

#[polyloop::guest]
mod functions {
    pub fn echo(data: &[u8]) -> &[u8] {
        data
    }
    pub fn add(a: i64, b: i64) -> i64 {
        a + b
    }
    pub fn greet(name: &str) -> String {
        format!("Hello, {name}!")
    }
    pub async fn ready(data: &[u8]) -> &[u8] {
        data
    }
}

struct Counting;

/// Those of all threads.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Those of one thread: others of the process, such as tokio's, may begin while calls are
    /// counted.
    static OF_THREAD: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.fetch_add(1, SeqCst);
    OF_THREAD.set(OF_THREAD.get() + 1);
}

/// Of the calling thread, and of all.
fn counted() -> [usize; 2] {
    [OF_THREAD.get(), ALLOCATIONS.load(SeqCst)]
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's word.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's word.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A host that hands out the same task again and again, and allocates nothing.
struct Host1 {
    task: Task,
    left: AtomicUsize,
    /// The address of the first answer's data.
    answered_from: AtomicUsize,
    answers: AtomicUsize,
    before: [AtomicUsize; 2],
    after: [AtomicUsize; 2],
}

const WARM: usize = 10;
const CALLS: usize = 1000;

fn of<'a>(runtime: RuntimeHandle) -> &'a Host1 {
    // SAFETY: the host lives until after `join`.
    unsafe { &*runtime.cast::<Host1>() }
}

fn note(places: &[AtomicUsize; 2]) {
    for (place, count) in places.iter().zip(counted()) {
        place.store(count, SeqCst);
    }
}

unsafe extern "C" fn take(runtime: RuntimeHandle, out: *mut Task, _: u32) -> i32 {
    let host = of(runtime);
    match host.left.load(SeqCst) {
        0 => {
            note(&host.after);
            return TAKE_STOPPED;
        }
        CALLS => note(&host.before),
        _ => {}
    }
    host.left.fetch_sub(1, SeqCst);
    // SAFETY: the guest's own.
    unsafe { out.write(host.task) };
    TAKE_TASK
}

unsafe extern "C" fn respond(
    runtime: RuntimeHandle,
    _: u64,
    status: u32,
    _: u32,
    data: *const u8,
    _: usize,
) -> i32 {
    assert_eq!(status, STATUS_OK);
    of(runtime).answered_from.store(data as usize, SeqCst);
    of(runtime).answers.fetch_add(1, SeqCst);
    0
}

unsafe extern "C" fn task(_: RuntimeHandle, _: u64) -> i32 {
    panic!("nothing is held, and nobody asks whether it is cancelled")
}
unsafe extern "C" fn receive(_: RuntimeHandle, _: u64, _: *mut Item, _: u32) -> i32 {
    panic!("no function takes items")
}
unsafe extern "C" fn send(_: RuntimeHandle, _: u64, _: u32, _: *const u8, _: usize, _: u32) -> i32 {
    panic!("no function streams")
}
unsafe extern "C" fn watch(_: RuntimeHandle, _: u64, _: Option<Watcher>, _: *mut c_void) -> i32 {
    panic!("a future that is ready at once is not watched")
}
unsafe extern "C" fn annotate(_: RuntimeHandle, _: u64, _: Bytes) -> i32 {
    panic!("no function annotates")
}
unsafe extern "C" fn bytes(_: RuntimeHandle, _: Bytes) -> i32 {
    0
}
unsafe extern "C" fn log(_: RuntimeHandle, _: u32, _: Bytes) -> i32 {
    0
}

unsafe extern "C" {
    fn polyloop_guest_start(
        h: *const Host,
        r: RuntimeHandle,
        i: *const StartInfo,
        g: *mut *mut c_void,
    ) -> i32;
    fn polyloop_guest_join(guest: *mut c_void);
}

/// Allocations of `CALLS` calls, on the polling thread and on all, and whether the answers were the
/// requests' own memory.
fn measured(method: u16, flags: u8, payload: &'static [u8]) -> ([usize; 2], bool) {
    let (data, len) = (payload.as_ptr(), payload.len() as u64);
    let (kind, context) = (KIND_CALL, std::ptr::null());
    let task_ =
        Task { id: 1, kind, flags, method, reserved: 0, data, len, deadline_ns: 0, context, context_len: 0 };
    let zero = || AtomicUsize::new(0);
    let left = AtomicUsize::new(WARM + CALLS);
    let host = Host1 {
        task: task_,
        left,
        answered_from: zero(),
        answers: zero(),
        before: [zero(), zero()],
        after: [zero(), zero()],
    };
    let size = size_of::<Host>() as u32;
    let table = Host {
        size,
        abi: ABI_VERSION,
        take,
        respond,
        hold: task,
        release: task,
        ready: bytes,
        fail: bytes,
        log,
        receive,
        send,
        watch,
        cancelled: task,
        annotate,
    };
    let none = Bytes { data: std::ptr::null(), len: 0 };
    let info = StartInfo {
        size: size_of::<StartInfo>() as u32,
        threads: 1,
        config: none,
        codec: none,
        loader: none,
    };
    let mut guest = null_mut();
    let handle: RuntimeHandle = (&raw const host).cast_mut().cast();
    // SAFETY: all of it lives until after `join`.
    unsafe {
        assert_eq!(polyloop_guest_start(&raw const table, handle, &raw const info, &raw mut guest), 0);
        polyloop_guest_join(guest);
    }
    assert_eq!(host.answers.load(SeqCst), WARM + CALLS);
    let counts = [0, 1].map(|of: usize| host.after[of].load(SeqCst) - host.before[of].load(SeqCst));
    (counts, host.answered_from.load(SeqCst) == data as usize)
}

/// One test: the counter is the process's.
#[test]
fn bytes_and_numbers_allocate_nothing_and_bytes_are_answered_from_the_request() {
    let ([echo, _], own) = measured(0, FLAG_BYTES, b"some bytes");
    assert_eq!((echo, own), (0, true), "echo(&[u8]) -> &[u8]");
    let ([add, _], own) = measured(1, FLAG_SPREAD, b"[2, 40]");
    assert_eq!((add, own), (0, false), "add(i64, i64) -> i64 in JSON");
    // The task that tokio makes, and nothing for the cancellation that does not come.
    let ([_, ready], _) = measured(3, FLAG_BYTES, b"some bytes");
    assert!(ready <= 2 * CALLS, "ready(&[u8]) -> &[u8], async: {ready} allocations in {CALLS} calls");
    // The String that it returns, and nothing else.
    let ([greet, _], _) = measured(2, 0, b"\"Ada\"");
    assert!(greet <= 2 * CALLS, "greet(&str) -> String in JSON: {greet} allocations in {CALLS} calls");
    println!("allocations per {CALLS} calls: echo 0, add 0, greet {greet}, ready {ready}");
}
