// SPDX-License-Identifier: Apache-2.0
use super::beat::{self, Still};
use super::{Case, Env};
use crate::host::{Input, Output};
use polyloop_abi::METHOD_RAW;
use serde_json::json;
use std::time::Duration;

pub const ALL: &[Case] = &[
    ("bytes", bytes),
    ("json", json_values),
    ("msgpack", msgpack),
    ("async", async_calls),
    ("concurrency", concurrency),
    ("context", context),
    ("gil", gil),
];

fn bytes(env: &Env) {
    let guest = env.load("basic.py");
    for length in [0, 1, 512, 4096, 1 << 20] {
        let data = vec![b'b'; length];
        for name in ["echo", "echo_async", "handle"] {
            assert_eq!(
                guest.call(name, &Input::Bytes(&data)),
                Ok(Output::Bytes(data.clone())),
                "{name} {length}"
            );
        }
    }
    let raw = guest.post_number(METHOD_RAW, &Input::Bytes(b"raw"));
    assert_eq!(guest.wait(raw), Ok(Output::Bytes(b"raw".to_vec())));
    let none = guest.call("fill", &Input::One(b"0"));
    assert_eq!(none, Ok(Output::Bytes(Vec::new())), "no bytes are bytes, not nothing");
    guest.unload();
}

fn json_values(env: &Env) {
    let guest = env.load("basic.py");
    assert_eq!(guest.ask("add", &json!([1, 2.5])), json!(3.5));
    let tree = json!({"a": [1, -2.5e3, "grüße \u{1f600} \u{0}\n", null, true, {}, []], "b": {"c": 9_007_199_254_740_991_u64}});
    for name in ["echo", "echo_async"] {
        assert_eq!(guest.ask(name, &json!([tree])), tree);
        let one = guest.call(name, &Input::One(b" [1, 2]\n")).expect("white space is JSON");
        assert_eq!(one, Output::Encoded(b"[1,2]".to_vec()));
    }
    assert_eq!(guest.call("nothing", &Input::Empty), Ok(Output::Empty));
    let lone = guest.call("returns_surrogate", &Input::Empty);
    assert_eq!(lone, Ok(Output::Encoded(br#""\ud800""#.to_vec())));
    let many: Vec<u32> = (0..20).collect();
    super::assert_has(&guest.blame("add", &json!(many))["message"], "positional arguments");
    guest.unload();
}

fn msgpack(env: &Env) {
    let guest = env.try_load("basic.py", "", "msgpack").unwrap_or_else(|error| {
        assert_eq!(error["type"], "ModuleNotFoundError");
        super::assert_has(&error["message"], "-m pip install msgpack");
        pretend_msgpack(env);
        env.try_load("basic.py", "", "msgpack").expect("loads")
    });
    // What was decoded may be kept: that is no view of the request.
    for name in ["echo", "echo_async"] {
        let pair = [0x92, 0x01, 0xa2, b'h', b'i'];
        assert_eq!(guest.call(name, &Input::One(&pair)), Ok(Output::Encoded(pair.to_vec())));
        assert_eq!(guest.call(name, &Input::Bytes(&pair)), Ok(Output::Bytes(pair.to_vec())));
    }
    assert_eq!(guest.call("add", &Input::Spread(&[0x92, 1, 2])), Ok(Output::Encoded(vec![3])));
    assert!(guest.call("echo", &Input::One(&[0xc1])).is_err(), "0xc1 is nothing in MessagePack");
    assert!(guest.call("returns_object", &Input::Empty).is_err());
    assert_eq!(guest.holds(), (0, 0));
    guest.unload();
    let unknown = env.try_load("basic.py", "", "pickle").err().expect("fails");
    super::assert_has(&unknown["message"], "'json' and 'msgpack'");
}

/// A stand-in for the package, which a test machine need not have: it knows what this test sends.
fn pretend_msgpack(env: &Env) {
    let source = "\
_known = {b'\\x92\\x01\\xa2hi': [1, 'hi'], b'\\x92\\x01\\x02': [1, 2], b'\\x03': 3}


def unpackb(data, **_options):
    return _known[bytes(data)]


def packb(value, **_options):
    return next(data for data, known in _known.items() if known == value)
";
    let folder = super::scratch("msgpack");
    std::fs::write(format!("{folder}/msgpack.py"), source).expect("written");
    let insert = format!("import sys\nsys.path.insert(0, {folder:?})\n\n\ndef f():\n    pass\n");
    env.write_and_load(&insert).expect("loads").unload();
}

fn async_calls(env: &Env) {
    meet(env, "meet_async", 200);
    let guest = env.load("basic.py");
    let error = guest.blame("fail_async", &json!(["async"]));
    assert_eq!((&error["type"], &error["message"]), (&json!("ValueError"), &json!("async")));
    assert!(!error["stack"].as_str().expect("stack").contains("<polyloop>"), "{error}");
    guest.unload();

    let guest = env.load("only_async.py");
    assert_eq!(guest.ask("twice", &json!([21])), 42);
    let threads = guest.ask("threads", &json!([]));
    let own = threads
        .as_array()
        .expect("names")
        .iter()
        .filter(|name| name.as_str().is_some_and(|name| name.starts_with("polyloop-")));
    assert_eq!(own.count(), 2, "one that takes and one that loops: {threads}");
    guest.unload();
}

fn concurrency(env: &Env) {
    meet(env, "meet", 8);
}

const MEETINGS: &str = r"
import asyncio
import threading

_come = threading.Condition()
_here = 0


def meet(parties):
    global _here
    with _come:
        _here += 1
        _come.notify_all()
        _come.wait_for(lambda: _here >= parties)
    return parties
async def meet_async(parties):
    global _here
    _here += 1
    while _here < parties:
        await asyncio.sleep(0.001)
    return parties
";

/// So many calls that each wait for all the others.
fn meet(env: &Env, name: &str, parties: usize) {
    let guest = env.write_and_load(MEETINGS).expect("loads");
    let text = parties.to_string().into_bytes();
    let ids: Vec<u64> = (0..parties).map(|_| guest.post(name, &Input::One(&text))).collect();
    for id in ids {
        assert_eq!(guest.wait(id), Ok(Output::Encoded(text.clone())));
    }
    guest.unload();
}

fn context(env: &Env) {
    let guest = env.load("basic.py");
    for _ in 0..50 {
        assert_eq!(guest.ask("count_requests", &json!([])), 0);
    }
    guest.unload();
}

fn gil(env: &Env) {
    let guest = env.write_and_load(beat::SOURCE).expect("loads");
    let still = Still::begin(&guest, "hold_gil");
    // Neither taking nor answering waits for this thread: it may do as it likes meanwhile.
    let queued = guest.post("echo", &Input::One(b"1"));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!guest.is_answered(queued));
    assert_eq!(still.end(), Ok(Output::Encoded(b"0".to_vec())));
    guest.wait(queued).expect("answers once the GIL is free");
    guest.unload();
}
