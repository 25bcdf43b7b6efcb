// SPDX-License-Identifier: Apache-2.0
use super::beat::Still;
use super::{Case, Env};
use crate::host::{Input, Options, Output, Runtime};
use serde_json::{Value, json};
use std::time::Duration;

pub const ALL: &[Case] = &[
    ("cancel_async", async_calls),
    ("cancel_sync", sync),
    ("cancel_streams", streams),
    ("cancel_input", input),
    ("cancel_unstarted", unstarted),
    ("cancel_edges", edges),
    ("deadline", deadline),
    ("trace", trace),
    ("garbage", garbage),
];

fn code(guest: &Runtime, id: u64) -> Value {
    guest.wait(id).expect_err("cancelled")["code"].clone()
}

fn async_calls(env: &Env) {
    let guest = env.load("streams.py");
    let id = guest.post("sleep_async", &Input::One(b"600"));
    let other = guest.post("sleep_async", &Input::One(b"0.2"));
    guest.until_watched(id);
    // Give the function time to sleep, so that not merely its start is called off.
    guest.ask("sleep_async", &json!([0.05]));
    guest.cancel(id);
    assert_eq!(code(&guest, id), "cancelled");
    assert_eq!(guest.ask("dropped", &json!([])), 1, "CancelledError was raised inside");
    assert_eq!(guest.wait(other), Ok(Output::Encoded(b"0.2".to_vec())), "no other call is");
    guest.unload();
}

fn sync(env: &Env) {
    let guest = env.load("streams.py");
    let id = guest.post("spin_until_cancelled", &Input::One(b"600"));
    assert_eq!(guest.ask("spin_until_cancelled", &json!([0.01])), false);
    guest.cancel(id);
    guest.wait(id).expect("it returned, for nobody to read");
    assert_eq!(guest.ask("cancels_seen", &json!([])), 1);
    let id = guest.post("check_until_cancelled", &Input::One(b"600"));
    guest.cancel(id);
    let error = guest.wait(id).expect_err("cancelled");
    assert_eq!((&error["code"], &error["type"]), (&json!("cancelled"), &json!("polyloop.Cancelled")));
    guest.unload();
}

fn streams(env: &Env) {
    let guest = env.load("streams.py");
    let mut dropped = 0;
    for name in ["endless", "endless_async"] {
        for credit in [0, 3] {
            let id = guest.open(name, &Input::Empty, &Options::output(credit));
            for _ in 0..credit {
                guest.next(id).expect("an item");
            }
            if name == "endless" {
                guest.until_blocked(id);
            }
            guest.ask("sleep_async", &json!([0.02]));
            guest.cancel(id);
            assert_eq!(code(&guest, id), "cancelled");
            dropped += 1;
            assert_eq!(guest.ask("dropped", &json!([])), dropped, "{name}: its finally ran to its end");
        }
    }
    // While the function is busy between two items, not waiting in the host.
    let id = guest.open("count_async", &Input::Spread(b"[3, 600]"), &Options::output(1));
    guest.until_watched(id);
    guest.cancel(id);
    assert_eq!(code(&guest, id), "cancelled");
    guest.unload();
}

fn input(env: &Env) {
    let guest = env.load("streams.py");
    for name in ["total", "total_async", "upper", "upper_async"] {
        let flags = if name.starts_with("total") { Options::INPUT } else { Options::DUPLEX };
        let id = guest.open(name, &Input::Empty, &flags);
        guest.feed(id, &Input::One(if name.starts_with("total") { b"1" } else { b"\"a\"" }));
        guest.ask("sleep_async", &json!([0.02]));
        guest.cancel(id);
        assert_eq!(code(&guest, id), "cancelled", "{name}");
    }
    guest.unload();
}

/// A call that is given up before the loop comes to it does not start.
fn unstarted(env: &Env) {
    let guest = env.write_and_load(BLOCKING).expect("loads");
    let blocked = Still::begin(&guest, "block_loop");
    let ids: Vec<u64> = (0..5).map(|_| guest.post("starts", &Input::Empty)).collect();
    let streams: Vec<u64> =
        (0..5).map(|_| guest.open("starts_stream", &Input::Empty, &Options::output(1))).collect();
    for id in ids.iter().chain(&streams) {
        guest.cancel(*id);
    }
    blocked.end().expect("ends");
    for id in ids.into_iter().chain(streams) {
        assert_eq!(code(&guest, id), "cancelled");
    }
    assert_eq!(guest.ask("started", &json!([])), 0);
    guest.unload();
}

const BLOCKING: &str = r"
import ctypes

_started = []


async def block_loop(function): return ctypes.CFUNCTYPE(ctypes.c_int)(function)()
async def starts(): _started.append(1)
async def starts_stream(): _started.append(1); yield 1
def started(): return len(_started)
";

const EDGES: &str = r"
import asyncio
import contextvars
import threading

import polyloop

_begun = [None]
_late = []
before = [polyloop.cancelled(), polyloop.remaining(), polyloop.context()]
polyloop.annotate(to='nobody')
polyloop.check()


def outside(): return before
def begun(): return _begun[-1]
async def stubborn():
    _begun.append('stubborn')
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        return 'a result for nobody'
async def fails():
    _begun.append('fails')
    try:
        await asyncio.sleep(600)
    finally:
        raise ValueError('in finally')
def generator_fails():
    _begun.append('generator_fails')
    try:
        while True:
            yield 1
    finally:
        raise ValueError('in finally')
def ignores_exit():
    _begun.append('ignores_exit')
    while True:
        try:
            yield 1
        except GeneratorExit:
            yield 2
async def from_thread():
    return await asyncio.to_thread(polyloop.remaining) is not None
def in_plain_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(polyloop.remaining()))
    thread.start()
    thread.join()
    return seen[0]
async def left_behind():
    async def later():
        await asyncio.sleep(0.02)
        _late.append([polyloop.cancelled(), polyloop.remaining(), polyloop.context()])
        polyloop.annotate(too='late')
    _late.append(asyncio.ensure_future(later()))
def late(): return _late[1:]
async def child(items):
    _begun.append('child')
    async def drain():
        return [item async for item in items]
    return await asyncio.gather(drain(), asyncio.sleep(600))
";

fn edges(env: &Env) {
    let guest = env.write_and_load(EDGES).expect("loads");
    assert_eq!(guest.ask("outside", &json!([])), json!([false, null, {}]));
    for (name, flags) in [
        ("stubborn", Options::default()),
        ("fails", Options::default()),
        ("generator_fails", Options::output(1)),
        ("ignores_exit", Options::output(1)),
        ("child", Options::INPUT),
    ] {
        let id = guest.open(name, &Input::Empty, &flags);
        while guest.ask("begun", &json!([])) != json!(name) {
            std::thread::sleep(Duration::from_millis(5));
        }
        guest.cancel(id);
        let error = guest.wait(id).expect_err("cancelled");
        assert_eq!(error["code"], "cancelled", "{name}: {error}");
        if name.contains("fails") {
            assert_eq!(error["cause"]["message"], "in finally", "{name}");
        }
    }
    let soon = Options { deadline_ns: u64::MAX >> 2, ..Options::default() };
    let id = guest.open("from_thread", &Input::Empty, &soon);
    assert_eq!(guest.wait(id), Ok(Output::Encoded(b"true".to_vec())));
    let id = guest.open("in_plain_thread", &Input::Empty, &soon);
    assert_eq!(guest.wait(id), Ok(Output::Empty), "a thread of the guest's own belongs to no call");
    let id = guest.open("left_behind", &Input::Empty, &Options { context: r#"{"a":"b"}"#, ..soon });
    guest.wait(id).expect("answers");
    let late = || guest.ask("late", &json!([]));
    while late() == json!([]) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(late(), json!([[false, null, {}]]), "the call is over");
    guest.unload();
}

fn monotonic_ns() -> u64 {
    // SAFETY: a place to write to.
    let now = unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
        now
    };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

fn deadline(env: &Env) {
    let guest = env.load("streams.py");
    for name in ["remaining", "remaining_async"] {
        assert_eq!(guest.ask(name, &json!([])), Value::Null, "{name}");
        let left = |deadline_ns| {
            let id = guest.open(name, &Input::Empty, &Options { deadline_ns, ..Options::default() });
            match guest.wait(id) {
                Ok(Output::Encoded(json)) => serde_json::from_slice::<f64>(&json).expect("seconds"),
                other => panic!("{other:?}"),
            }
        };
        let seconds = left(monotonic_ns() + 1_000_000_000_000);
        assert!((1.0..=1000.0).contains(&seconds), "{name}: {seconds}");
        assert!(left(1).abs() < f64::EPSILON, "what is over is 0");
        assert_eq!(guest.ask(name, &json!([])), Value::Null, "{name}: of that call alone");
    }
    guest.unload();
}

fn trace(env: &Env) {
    let guest = env.load("streams.py");
    for (name, notes) in
        [("trace", json!({"seen": "yes"})), ("trace_async", json!({"seen": "yes", "loop": "yes"}))]
    {
        let context = r#"{"traceparent":"00-é-01"}"#;
        let id = guest.open(name, &Input::Empty, &Options { context, ..Options::default() });
        assert_eq!(guest.wait(id), Ok(Output::Encoded(context.as_bytes().to_vec())));
        assert_eq!(guest.notes(id), Some(notes), "{name}");
        let id = guest.post(name, &Input::Empty);
        assert_eq!(guest.wait(id), Ok(Output::Encoded(b"{}".to_vec())));
    }
    let notes_guest = env.write_and_load(NOTES).expect("loads");
    let id = notes_guest.post("too_long", &Input::Empty);
    notes_guest.wait(id).expect("answers");
    assert_eq!(notes_guest.notes(id), Some(json!({"a": "1"})));
    let id = notes_guest.post("not_text", &Input::Empty);
    assert_eq!(notes_guest.wait(id).expect_err("fails")["type"], "TypeError");
    let id = notes_guest.open("in_stream", &Input::Empty, &Options::output(10));
    notes_guest.wait(id).expect("answers");
    assert_eq!(notes_guest.notes(id), Some(json!({"a": "1", "b": "2"})));
    notes_guest.unload();
    guest.unload();
}

const NOTES: &str = r"
import polyloop


def too_long():
    polyloop.annotate(a='1')
    try:
        polyloop.annotate(b='x' * 5000)
    except ValueError:
        return True
def not_text(): polyloop.annotate(a=1)
def in_stream():
    polyloop.annotate(a='1')
    yield 1
    polyloop.annotate(b='2')
";

const GARBAGE: &str = r"
import asyncio
import gc

import polyloop

gc.disable()


async def plain(): return polyloop.remaining()
async def sleeps(): await asyncio.sleep(600)
async def endless(items):
    async for item in items:
        yield item
def endless_sync(items):
    for item in items:
        yield item
    while True:
        yield polyloop.remaining()
def left(): return sorted({type(it).__name__ for it in gc.get_objects() if type(it).__module__.startswith('polyloop.')})
";

/// What a call was made of is gone with it, not when the collector comes round.
fn garbage(env: &Env) {
    let guest = env.write_and_load(GARBAGE).expect("loads");
    let before = guest.ask("left", &json!([]));
    for _ in 0..5 {
        guest.wait(guest.post("plain", &Input::Empty)).expect("answers");
        for (name, options) in
            [("sleeps", Options::default()), ("endless", Options::DUPLEX), ("endless_sync", Options::DUPLEX)]
        {
            let id = guest.open(name, &Input::Empty, &options);
            if name != "sleeps" {
                guest.feed(id, &Input::Bytes(b"item"));
                guest.next(id).expect("an item");
            }
            guest.cancel(id);
            assert_eq!(code(&guest, id), "cancelled");
        }
    }
    // The loop's last call ends with the turn of the loop that answers it.
    guest.ask("plain", &json!([]));
    // A watchdog ends the case if that never is.
    while guest.ask("left", &json!([])) != before {
        std::thread::sleep(Duration::from_millis(5));
    }
    guest.unload();
}
