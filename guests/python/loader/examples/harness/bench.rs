// SPDX-License-Identifier: Apache-2.0
//! What a call costs on Python's side: a host that hands out one task again and again.

use crate::cases::{Env, fixture};
use crate::host::LIBRARY;
use polyloop_abi::{
    ABI_VERSION, Bytes, FLAG_BYTES, FLAG_SPREAD, Host, Item, KIND_CALL, RuntimeHandle, STREAM_END,
    STREAM_REFUSED, TAKE_EMPTY, TAKE_STOPPED, TAKE_TASK, Task, Watcher,
};
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CALLS: u64 = 200_000;
const ROUNDS: usize = 7;
/// Calls in flight at most, as with a host that has that many callers.
const OUTSTANDING: u64 = 64;

static LEFT: AtomicU64 = AtomicU64::new(0);
static ANSWERED: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicU64 = AtomicU64::new(0);
static STOPPED: AtomicBool = AtomicBool::new(false);
static TASK: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
static MANIFEST: OnceLock<serde_json::Value> = OnceLock::new();

static HOST: Host = Host {
    size: size_of::<Host>() as u32,
    abi: ABI_VERSION,
    take,
    respond,
    hold,
    release,
    ready,
    fail,
    log,
    receive,
    send,
    watch,
    cancelled,
    annotate,
};

pub fn run(env: &Env) {
    let loader = env.file(&fixture("basic.py")).to_string();
    // SAFETY: this host needs no handle.
    let (rc, guest) = unsafe { LIBRARY.start(&HOST, 8, 1, ["", "json", &loader]) };
    assert_eq!(rc, 0);
    let bytes = vec![b'x'; 512];
    println!(
        "CPython {}, one pool thread, ns a call, median of {ROUNDS} rounds of {CALLS}:",
        env.probe["version"]
    );
    measure("echo, 512 bytes", "echo", FLAG_BYTES, &bytes);
    measure("crc32, 512 bytes", "checksum", FLAG_BYTES, &bytes);
    measure("add(1, 2), JSON", "add", FLAG_SPREAD, b"[1,2]");
    measure("greet({name}), JSON", "greet", 0, br#"{"name":"Ada"}"#);
    measure("echo_async, 512 bytes", "echo_async", FLAG_BYTES, &bytes);
    STOPPED.store(true, Ordering::Relaxed);
    // SAFETY: the guest was started, and is joined once.
    unsafe { LIBRARY.join(guest) };
}

fn measure(title: &str, name: &str, flags: u8, payload: &[u8]) {
    let methods = MANIFEST.get().expect("ready")["methods"].as_array().expect("methods");
    let method = methods.iter().position(|method| method["name"] == name).expect(name);
    let values = [payload.as_ptr() as usize, payload.len(), flags.into(), method];
    TASK.iter().zip(values).for_each(|(slot, value)| slot.store(value, Ordering::Relaxed));
    let mut rounds: Vec<u128> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_unstable();
    println!("  {title:24} {:6}   held {}", rounds[ROUNDS / 2], HELD.swap(0, Ordering::Relaxed));
}

fn round() -> u128 {
    ANSWERED.store(0, Ordering::Relaxed);
    let begin = Instant::now();
    LEFT.store(CALLS, Ordering::Release);
    while ANSWERED.load(Ordering::Acquire) < CALLS {
        std::thread::sleep(Duration::from_micros(200));
    }
    begin.elapsed().as_nanos() / u128::from(CALLS)
}

unsafe extern "C" fn take(_: RuntimeHandle, out: *mut Task, wait: u32) -> i32 {
    loop {
        let left = LEFT.load(Ordering::Acquire);
        let outstanding = CALLS.saturating_sub(left + ANSWERED.load(Ordering::Acquire));
        if left > 0 && outstanding < OUTSTANDING {
            LEFT.store(left - 1, Ordering::Relaxed);
            let [data, len, flags, method] =
                [0, 1, 2, 3].map(|index: usize| TASK[index].load(Ordering::Relaxed));
            let (data, len) = (data as *const u8, len as u64);
            let (flags, method) = (flags as u8, method as u16);
            // SAFETY: a place to write to.
            unsafe {
                out.write(Task {
                    id: left,
                    kind: KIND_CALL,
                    flags,
                    method,
                    reserved: 0,
                    data,
                    len,
                    deadline_ns: 0,
                    context: std::ptr::null(),
                    context_len: 0,
                });
            }
            return TAKE_TASK;
        }
        if STOPPED.load(Ordering::Relaxed) {
            return TAKE_STOPPED;
        }
        if wait == 0 {
            return TAKE_EMPTY;
        }
        std::thread::yield_now();
    }
}

unsafe extern "C" fn respond(_: RuntimeHandle, _: u64, status: u32, _: u32, _: *const u8, _: usize) -> i32 {
    assert_eq!(status, 0);
    // Several threads answer: the pool's and the loop's.
    ANSWERED.fetch_add(1, Ordering::Release);
    0
}

unsafe extern "C" fn hold(_: RuntimeHandle, _: u64) -> i32 {
    HELD.fetch_add(1, Ordering::Relaxed);
    0
}

unsafe extern "C" fn release(_: RuntimeHandle, _: u64) -> i32 {
    0
}

unsafe extern "C" fn ready(_: RuntimeHandle, manifest: Bytes) -> i32 {
    // SAFETY: what the guest passes is readable.
    let manifest = unsafe { std::slice::from_raw_parts(manifest.data, manifest.len) };
    MANIFEST.get_or_init(|| serde_json::from_slice(manifest).expect("JSON"));
    0
}

unsafe extern "C" fn fail(_: RuntimeHandle, error: Bytes) -> i32 {
    // SAFETY: as above.
    let error = unsafe { std::slice::from_raw_parts(error.data, error.len) };
    panic!("{}", String::from_utf8_lossy(error));
}

unsafe extern "C" fn log(_: RuntimeHandle, _: u32, _: Bytes) -> i32 {
    0
}

unsafe extern "C" fn receive(_: RuntimeHandle, _: u64, _: *mut Item, _: u32) -> i32 {
    STREAM_END
}

unsafe extern "C" fn send(_: RuntimeHandle, _: u64, _: u32, _: *const u8, _: usize, _: u32) -> i32 {
    STREAM_REFUSED
}

unsafe extern "C" fn watch(_: RuntimeHandle, _: u64, _: Option<Watcher>, _: *mut c_void) -> i32 {
    0
}

unsafe extern "C" fn cancelled(_: RuntimeHandle, _: u64) -> i32 {
    0
}

unsafe extern "C" fn annotate(_: RuntimeHandle, _: u64, _: Bytes) -> i32 {
    0
}
