// SPDX-License-Identifier: Apache-2.0
use super::{Case, Env};
use crate::host::{Input, Output};
use serde_json::json;

pub const ALL: &[Case] =
    &[("views", retained), ("view_kinds", kinds), ("view_exporter", exporter), ("view_unload", unload)];

fn retained(env: &Env) {
    let guest = env.load("basic.py");
    for text in ["-one", "-two", "-three"] {
        guest.call("keep", &Input::Bytes(text.as_bytes())).expect("keeps");
    }
    for _ in 0..100 {
        guest.call("echo", &Input::Bytes(&[b'z'; 4096])).expect("echoes");
    }
    assert_eq!(guest.holds(), (3, 0), "three requests are held, the echoes are not");
    assert_eq!(guest.call("kept", &Input::Empty), Ok(Output::Bytes(b"onetwothree".to_vec())));
    assert_eq!(guest.ask("drop_kept", &json!([])), 3);
    assert_eq!(guest.holds(), (0, 3));
    assert_eq!(guest.pages(), 0);
    guest.unload();
}

const KINDS: &str = r#"
import ctypes
import mmap

_kept = []


def is_readonly(data): return data.readonly and data.nbytes == len(data) and data.contiguous
def released(data): data.release(); return True
def slice_of_released(data): part = data[1:]; data.release(); _kept.append(part); return True
def cast(data): _kept.append(data.cast("H")); return True
def as_bytes(data): return bytes(data)
def as_array(data): return bytearray(data)
def strided(data): return data[::2]
def doubles(): import array; return memoryview(array.array("d", [1.5, 2.5]))
def sub(data): return type("Sub", (bytes,), {})(data)
def part(data): return data[2:4]
def mixed(data): _kept.append(data); return data[1:]
async def keep_async(data): _kept.append(data[3:]); return b"kept"
def failing(data): raise ValueError(data[0])
def read(): return b"|".join(bytes(view) for view in _kept)
def drop(): _kept.clear()
def numpy_keep(data):
    try:
        import numpy
    except ImportError:
        return None
    _kept.append(numpy.frombuffer(data, dtype="u1")[1:])
    return True
"#;

fn kinds(env: &Env) {
    let guest = env.write_and_load(KINDS).expect("loads");
    let call = |name: &str| guest.call(name, &Input::Bytes(b"0123456789"));
    let bytes = |text: &str| Ok(Output::Bytes(text.as_bytes().to_vec()));
    let yes = Ok(Output::Encoded(b"true".to_vec()));
    for (name, expected) in [
        ("is_readonly", yes.clone()),
        ("released", yes.clone()),
        ("as_bytes", bytes("0123456789")),
        ("as_array", bytes("0123456789")),
        ("sub", bytes("0123456789")),
        ("strided", bytes("02468")),
        ("part", bytes("23")),
    ] {
        assert_eq!(call(name), expected, "{name}");
    }
    assert!(call("failing").is_err());
    assert_eq!(guest.holds().0, 0, "nothing was kept");
    assert_eq!(
        guest
            .call("doubles", &Input::Empty)
            .map(|output| matches!(output, Output::Encoded(bytes) if bytes[0] == 1)),
        Ok(true),
        "a view of numbers is no bytes"
    );

    assert_eq!(call("slice_of_released"), yes);
    assert_eq!(call("cast"), yes);
    assert_eq!(call("mixed"), bytes("123456789"));
    assert_eq!(call("keep_async"), bytes("kept"));
    let numpy = call("numpy_keep") == yes;
    assert_eq!(guest.holds().0, 4 + usize::from(numpy));
    println!("numpy: {numpy}");
    let expected = "123456789|0123456789|0123456789|3456789";
    let expected = if numpy { format!("{expected}|123456789") } else { expected.to_owned() };
    assert_eq!(guest.call("read", &Input::Empty), bytes(&expected));
    guest.call("drop", &Input::Empty).expect("drops");
    assert_eq!((guest.holds().0, guest.pages()), (0, 0));
    guest.unload();
}

const EXPORTER: &str = r"
_kept = []


def keep_exporter(data): _kept.append(data.obj); return True
def view_again(): return bytes(memoryview(_kept[0]))
def make_one(): return bytes(memoryview(type(_kept[0])()))
";

fn exporter(env: &Env) {
    let guest = env.write_and_load(EXPORTER).expect("loads");
    guest.call("keep_exporter", &Input::Bytes(b"0123")).expect("keeps");
    for name in ["view_again", "make_one"] {
        let error = guest.blame(name, &json!([]));
        assert_eq!(error["type"], "BufferError");
        super::assert_has(&error["message"], "the task is over");
    }
    guest.unload();
}

fn unload(env: &Env) {
    let guest = env.load("basic.py");
    guest.call("keep", &Input::Bytes(b"-kept")).expect("keeps");
    // The module goes with the unload, and what it kept with the module, before the join returns.
    let watch = env.load("sibling.py");
    guest.unload();
    assert_eq!(watch.ask("double", &json!([2])), 4);
    watch.unload();
}
