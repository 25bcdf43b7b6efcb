// SPDX-License-Identifier: Apache-2.0
use super::{Case, Env, assert_has};
use crate::host::{Input, MAX_ITEM, Options, Output, Runtime};
use serde_json::{Value, json};

pub const ALL: &[Case] = &[
    ("stream_items", items),
    ("stream_error", error),
    ("stream_pressure", pressure),
    ("stream_input", input),
    ("stream_blocks", blocks),
    ("stream_views", views),
    ("stream_duplex", duplex),
    ("stream_misuse", misuse),
    ("stream_manifest", manifest),
    ("stream_kinds", kinds),
    ("stream_stress", stress),
];

fn encoded(values: &Value) -> Vec<Output> {
    let one = |value: &Value| Output::Encoded(value.to_string().into_bytes());
    values.as_array().expect("an array").iter().map(one).collect()
}

fn spread(arguments: &Value) -> String {
    arguments.to_string()
}

fn stream(guest: &Runtime, name: &str, arguments: &Value, credit: usize) -> u64 {
    guest.open(name, &Input::Spread(spread(arguments).as_bytes()), &Options::output(credit))
}

fn items(env: &Env) {
    let guest = env.load("streams.py");
    for name in ["count", "count_async", "count_returned"] {
        let id = stream(&guest, name, &json!([3]), 10);
        assert_eq!(guest.rest(id), (encoded(&json!([0, 1, 2])), Ok(Output::Empty)), "{name}");
        let id = stream(&guest, name, &json!([0]), 0);
        assert_eq!(guest.rest(id), (vec![], Ok(Output::Empty)), "{name}");
    }
    let id = stream(&guest, "count_async", &json!([3, 0.001]), 10);
    assert_eq!(guest.rest(id).0.len(), 3);
    let id = stream(&guest, "blocks", &json!([2, 6]), 10);
    let blocks = [b"\0\0\0\0xx", b"\x01\0\0\0xx"].map(|block| Output::Bytes(block.to_vec()));
    assert_eq!(guest.rest(id), (blocks.to_vec(), Ok(Output::Empty)));
    guest.unload();
}

fn error(env: &Env) {
    let guest = env.load("streams.py");
    let id = stream(&guest, "fails_after", &json!([2]), 10);
    let (items, reply) = guest.rest(id);
    assert_eq!(items, encoded(&json!([0, 1])), "what came before the error");
    let error = reply.expect_err("fails");
    assert_eq!((&error["code"], &error["message"]), (&json!("fixture-stream"), &json!("failed after 2")));
    assert!(!error["stack"].as_str().expect("stack").contains("<polyloop>"), "{error}");
    let id = guest.open("count", &Input::One(b"{"), &Options::output(1));
    assert_eq!(guest.wait(id).expect_err("fails")["type"], "json.decoder.JSONDecodeError");
    guest.unload();
}

/// Without room for more a generator stands still, and nobody else does.
fn pressure(env: &Env) {
    let guest = env.load("streams.py");
    for name in ["count", "count_async", "count_returned"] {
        let id = stream(&guest, name, &json!([5]), 2);
        assert_eq!(guest.next(id), Some(Output::Encoded(b"0".to_vec())));
        if name == "count" || name == "count_returned" {
            guest.until_blocked(id);
        }
        for _ in 0..3 {
            assert_eq!(guest.ask("dropped", &json!([])), 0, "the GIL is free");
            assert_eq!(guest.ask("sleep_async", &json!([0])), 0, "the loop is free");
        }
        assert_eq!((guest.sent(id), guest.is_answered(id)), (1, false), "{name}");
        guest.credit(id, 1);
        guest.next(id).expect("sent before");
        guest.next(id).expect("the one more");
        assert!(!guest.is_answered(id));
        guest.credit(id, 10);
        assert_eq!(guest.rest(id), (encoded(&json!([3, 4])), Ok(Output::Empty)), "{name}");
    }
    guest.unload();
}

fn feed(guest: &Runtime, id: u64, values: &Value) {
    for value in values.as_array().expect("an array") {
        guest.feed(id, &Input::One(value.to_string().as_bytes()));
    }
}

fn input(env: &Env) {
    let guest = env.load("streams.py");
    for name in ["total", "total_async"] {
        let id = guest.open(name, &Input::Empty, &Options::INPUT);
        guest.end(id);
        guest.wait(id).expect("no items");
        let id = guest.open(name, &Input::Empty, &Options::INPUT);
        feed(&guest, id, &json!([1]));
        guest.until_returned(1);
        assert!(!guest.is_answered(id), "{name} waits");
        feed(&guest, id, &json!([2, 3.5]));
        guest.end(id);
        assert_eq!(guest.wait(id), Ok(Output::Encoded(b"6.5".to_vec())), "{name}");
        let id = guest.open(name, &Input::Empty, &Options::INPUT);
        guest.feed(id, &Input::One(b"{"));
        assert_eq!(guest.wait(id).expect_err("not JSON")["type"], "json.decoder.JSONDecodeError");
    }
    let id = guest.open("slow_total", &Input::Spread(b"[0.001]"), &Options::INPUT);
    feed(&guest, id, &json!([1, 2]));
    guest.end(id);
    assert_eq!(guest.wait(id), Ok(Output::Encoded(b"3.0".to_vec())), "the stream is the last argument");
    let id = guest.open("first", &Input::Empty, &Options::INPUT);
    feed(&guest, id, &json!(["a", "b", "c"]));
    assert_eq!(guest.wait(id), Ok(Output::Encoded(b"\"a\"".to_vec())), "the others are left");
    let id = guest.open("first", &Input::Empty, &Options::INPUT);
    guest.feed(id, &Input::Empty);
    assert_eq!(guest.wait(id), Ok(Output::Empty));
    guest.unload();
}

/// Bytes of a stream are the host's, like those of a request, and go back one by one.
fn blocks(env: &Env) {
    let guest = env.load("streams.py");
    let id = guest.open("swallow", &Input::Empty, &Options::INPUT);
    for length in 0..100 {
        guest.feed(id, &Input::Bytes(&vec![b'x'; length]));
    }
    // All but what a variable still holds while it waits for more; that is held.
    guest.until_returned(100);
    guest.end(id);
    assert_eq!(guest.wait(id), Ok(Output::Encoded(b"4950".to_vec())));
    let id = guest.open("first", &Input::Empty, &Options::INPUT);
    guest.feed(id, &Input::Bytes(b"block"));
    assert_eq!(guest.wait(id), Ok(Output::Bytes(b"block".to_vec())));
    guest.until_free();
    guest.unload();
}

const VIEWS: &str = r"
_kept = []


def keep(chunks): _kept.extend(chunk[1:] for chunk in chunks)
async def keep_async(chunks):
    async for chunk in chunks:
        _kept.append(chunk[1:])
def read(): return b'|'.join(_kept)
def drop(): _kept.clear()
def echo(chunks):
    for chunk in chunks:
        yield chunk
async def echo_async(chunks):
    async for chunk in chunks:
        yield chunk
def keep_stream(items): _kept.append(items); return next(items)
def next_of_kept(): return next(_kept[0])
";

fn views(env: &Env) {
    let guest = env.write_and_load(VIEWS).expect("loads");
    for name in ["keep", "keep_async"] {
        let id = guest.open(name, &Input::Empty, &Options::INPUT);
        for text in ["-one", "-two", "-three"] {
            guest.feed(id, &Input::Bytes(text.as_bytes()));
        }
        guest.end(id);
        assert_eq!(guest.wait(id), Ok(Output::Empty));
        assert_eq!(guest.holds().0, 3, "{name}: what was kept outlives the call");
        assert_eq!(guest.call("read", &Input::Empty), Ok(Output::Bytes(b"one|two|three".to_vec())));
        guest.ask("drop", &json!([]));
        guest.until_free();
    }
    for name in ["echo", "echo_async"] {
        let id = guest.open(name, &Input::Empty, &Options::DUPLEX);
        let blocks: Vec<Vec<u8>> = (0..50_u8).map(|index| vec![index; 100]).collect();
        for block in &blocks {
            guest.feed(id, &Input::Bytes(block));
        }
        guest.end(id);
        let echoed = blocks.into_iter().map(Output::Bytes).collect();
        assert_eq!(guest.rest(id), (echoed, Ok(Output::Empty)), "{name}");
        guest.until_free();
    }
    let id = guest.open("keep_stream", &Input::Empty, &Options::INPUT);
    feed(&guest, id, &json!([1, 2]));
    assert_eq!(guest.wait(id), Ok(Output::Encoded(b"1".to_vec())));
    let error = guest.blame("next_of_kept", &json!([]));
    assert_eq!(error["code"], "cancelled", "a stream ends with its call");
    guest.unload();
}

fn duplex(env: &Env) {
    let guest = env.load("streams.py");
    for name in ["upper", "upper_async"] {
        let id = guest.open(name, &Input::Empty, &Options::DUPLEX);
        for word in ["a", "b", "c"] {
            feed(&guest, id, &json!([word]));
            assert_eq!(guest.next(id), Some(Output::Encoded(json!(word.to_uppercase()).to_string().into())));
        }
        guest.end(id);
        assert_eq!(guest.rest(id), (vec![], Ok(Output::Empty)), "{name}");
    }
    guest.unload();
}

fn misuse(env: &Env) {
    let guest = env.load("streams.py");
    for name in ["count", "count_async", "count_returned"] {
        let error = guest.blame(name, &json!([1]));
        assert_eq!(error["code"], "invalid-argument", "{name}");
        assert_has(&error["message"], "streams: call it with stream()");
    }
    let id = guest.open("upper", &Input::Empty, &Options::INPUT);
    assert_eq!(guest.wait(id).expect_err("fails")["code"], "invalid-argument");
    let id = guest.open("upper_async", &Input::Empty, &Options::INPUT);
    assert_eq!(guest.wait(id).expect_err("fails")["code"], "invalid-argument");
    for name in ["count", "sleep_async"] {
        let id = guest.open(name, &Input::One(b"1"), &Options::INPUT);
        let error = guest.wait(id).expect_err("one argument too many");
        assert_eq!(error["type"], "TypeError");
        assert_has(&error["message"], "positional argument");
    }
    let id = stream(&guest, "blocks", &json!([1, MAX_ITEM + 1]), 10);
    let error = guest.wait(id).expect_err("fails");
    assert_eq!(error["code"], "too-large");
    assert_has(&error["message"], "an item of 1048577 bytes");
    guest.unload();
}

fn manifest(env: &Env) {
    let guest = env.write_and_load(KINDS).expect("loads");
    let methods = guest.manifest()["methods"].as_array().expect("methods");
    let flags = |name: &str| {
        let method = methods.iter().find(|method| method["name"] == name).expect(name);
        (method["async"] == true, method.get("stream").map(|flag| flag == true))
    };
    assert_eq!(flags("generator"), (false, Some(true)));
    assert_eq!(flags("partial"), (false, Some(true)));
    assert_eq!(flags("instance"), (false, Some(true)));
    assert_eq!(flags("async_generator"), (true, Some(true)));
    assert_eq!(flags("async_instance"), (true, Some(true)));
    assert_eq!(flags("plain"), (false, None));
    assert_eq!(flags("coroutine"), (true, None));
    guest.unload();
}

const KINDS: &str = r"
import functools


def generator(count=2): yield from range(count)
async def async_generator(): yield 1
def plain(): return {'a': 1}
def nothing(): return None
async def coroutine(): return 1
async def coroutine_nothing(): return None
async def makes_iterator(): return iter([1, 2])
async def makes_async(): return async_generator()
def hands_over(): return async_generator()
def object_item(): yield object()
async def object_item_async(): yield object()
def none_items(): yield None
def fails_in_finally():
    try:
        yield 1
    finally:
        raise ValueError('in finally')
class Generates:
    __module__ = __name__
    def __call__(self): yield 1
class GeneratesAsync:
    __module__ = __name__
    async def __call__(self): yield 1
instance = Generates()
async_instance = GeneratesAsync()
partial = functools.partial(generator, 3)
";

fn kinds(env: &Env) {
    let guest = env.write_and_load(KINDS).expect("loads");
    for (name, expected) in [
        ("generator", json!([0, 1])),
        ("partial", json!([0, 1, 2])),
        ("instance", json!([1])),
        ("async_generator", json!([1])),
        ("async_instance", json!([1])),
        ("makes_iterator", json!([1, 2])),
        ("makes_async", json!([1])),
        ("hands_over", json!([1])),
        ("plain", json!([{"a": 1}])),
        ("coroutine", json!([1])),
        ("nothing", json!([])),
        ("coroutine_nothing", json!([])),
    ] {
        let id = guest.open(name, &Input::Empty, &Options::output(10));
        let (items, reply) = guest.rest(id);
        let value = |output: &Output| -> Value {
            match output {
                Output::Encoded(json) => serde_json::from_slice(json).expect("JSON"),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            (items.iter().map(value).collect::<Value>(), reply),
            (expected, Ok(Output::Empty)),
            "{name}"
        );
    }
    for name in ["object_item", "object_item_async"] {
        let id = guest.open(name, &Input::Empty, &Options::output(10));
        assert_has(&guest.wait(id).expect_err("fails")["message"], "cannot be sent");
    }
    let id = guest.open("none_items", &Input::Empty, &Options::output(10));
    assert_eq!(guest.rest(id), (vec![Output::Empty], Ok(Output::Empty)));
    let id = guest.open("fails_in_finally", &Input::Empty, &Options::output(10));
    let (items, reply) = guest.rest(id);
    assert_eq!((items.len(), &reply.expect_err("fails")["message"]), (1, &json!("in finally")));
    guest.unload();

    // A module without async functions has a loop once it turns out to need one.
    let guest = env.write_and_load(HANDS_OVER).expect("loads");
    for number in ["1", "2"] {
        let id = guest.open("hands_over", &Input::One(number.as_bytes()), &Options::output(1));
        assert_eq!(guest.next(id), Some(Output::Encoded(number.into())));
        guest.ask("nothing", &json!([]));
        guest.cancel(id);
        assert_eq!(guest.wait(id).expect_err("cancelled")["code"], "cancelled");
    }
    guest.unload();
}

const HANDS_OVER: &str = r"
async def _endless(number):
    while True:
        yield number


def hands_over(number): return _endless(number)
def nothing(): return None
";

/// Streams of all kinds at once, some of them given up midway.
fn stress(env: &Env) {
    let guest = env.load("streams.py");
    std::thread::scope(|scope| {
        for caller in 0..3_usize {
            let guest = &guest;
            scope.spawn(move || {
                for round in 0..20 {
                    for name in ["upper", "upper_async"] {
                        let id = guest.open(name, &Input::Empty, &Options { credit: 3, ..Options::DUPLEX });
                        for number in 0..20 {
                            feed(guest, id, &json!([format!("{caller}/{round}/{number}")]));
                        }
                        guest.end(id);
                        for number in 0..20 {
                            let item = format!("\"{caller}/{round}/{number}\"").into_bytes();
                            assert_eq!(guest.next(id), Some(Output::Encoded(item)));
                            guest.credit(id, 1);
                        }
                        assert_eq!(guest.rest(id), (vec![], Ok(Output::Empty)));
                    }
                    for name in ["endless", "endless_async"] {
                        let id = guest.open(name, &Input::Empty, &Options::output(round));
                        guest.cancel(id);
                        assert_eq!(guest.rest(id).1.expect_err("cancelled")["code"], "cancelled");
                    }
                }
            });
        }
    });
    guest.until_free();
    guest.unload();
}
