// SPDX-License-Identifier: Apache-2.0
use super::{Case, Env, assert_has, fixture};
use crate::host::{Input, Output};
use serde_json::{Value, json};

pub const ALL: &[Case] = &[
    ("errors", errors),
    ("traceback", traceback),
    ("unserialisable", unserialisable),
    ("exits", exits),
    ("bad_input", bad_input),
];

fn errors(env: &Env) {
    let guest = env.load("basic.py");
    let error = guest.blame("fail", &json!(["it broke"]));
    assert_eq!(
        (&error["type"], &error["message"], &error["rc"]),
        (&json!("ValueError"), &json!("it broke"), &json!(1))
    );
    assert_eq!(
        (&error["cause"]["type"], &error["cause"]["message"]),
        (&json!("KeyError"), &json!("'missing'"))
    );
    assert_eq!(error.get("code"), None);

    let error = guest.blame("fail_with_code", &json!(["no-user", 404]));
    assert_eq!(
        (&error["type"], &error["code"], &error["rc"]),
        (&json!("polyloop.Error"), &json!("no-user"), &json!(404))
    );

    let error = guest.blame("add", &json!([1]));
    assert_eq!(error["type"], "TypeError");
    assert_has(&error["message"], "missing 1 required positional argument: 'b'");
    let error = guest.blame("recurses", &json!([]));
    assert_eq!(error["type"], "RecursionError");
    guest.unload();
}

fn traceback(env: &Env) {
    let guest = env.load("basic.py");
    let error = guest.blame("fail", &json!([]));
    let stack = error["stack"].as_str().expect("a stack");
    assert!(stack.starts_with("Traceback (most recent call last):\n  File \""), "{stack}");
    assert!(stack.contains(&format!("File \"{}\", line ", fixture("basic.py"))), "{stack}");
    assert!(stack.contains("raise ValueError(message) from error"), "{stack}");
    assert!(
        stack.contains("The above exception was the direct cause of the following exception:"),
        "{stack}"
    );
    assert!(stack.ends_with("ValueError: it broke\n"), "{stack}");
    assert!(!stack.contains("<polyloop>"), "{stack}");
    guest.unload();
}

fn unserialisable(env: &Env) {
    let guest = env.load("basic.py");
    let message = |name: &str| {
        let error = guest.blame(name, &json!([]));
        assert_eq!(error["type"], "TypeError", "{name}");
        error["message"].clone()
    };
    assert_has(
        &message("returns_object"),
        "of type object, cannot be sent: an instance of object: return dict",
    );
    assert_has(&message("returns_cycle"), "a cycle at [0]: return a value that does not hold itself");
    guest.unload();
}

fn exits(env: &Env) {
    let guest = env.load("basic.py");
    for (name, kind) in
        [("exits", "SystemExit"), ("exits_async", "SystemExit"), ("interrupts", "KeyboardInterrupt")]
    {
        assert_eq!(guest.blame(name, &json!([]))["type"], kind);
    }
    guest.ask("leave_task_running", &json!([]));
    assert_eq!(guest.ask("echo_async", &json!([1])), 1);
    assert_eq!(guest.ask("echo", &json!([1])), 1);
    guest.unload();
}

fn bad_input(env: &Env) {
    let guest = env.load("basic.py");
    for name in ["echo", "echo_async"] {
        let kind = |input: &Input| guest.call(name, input).expect_err("fails")["type"].clone();
        assert_eq!(kind(&Input::One(b"{")), "json.decoder.JSONDecodeError");
        assert_eq!(kind(&Input::One(b"")), "json.decoder.JSONDecodeError");
        assert_eq!(kind(&Input::One(b"1 2")), "json.decoder.JSONDecodeError");
        assert_eq!(kind(&Input::One(b"\xff")), "UnicodeDecodeError");
        assert_eq!(kind(&Input::Spread(b"1")), "TypeError");
        let deep = vec![b'['; 100_000];
        assert_eq!(kind(&Input::One(&deep)), "RecursionError");
    }
    let unknown = guest.post_number(999, &Input::Empty);
    let error: Value = guest.wait(unknown).expect_err("fails");
    assert_has(&error["message"], "no method number 999");
    assert_eq!(guest.call("echo", &Input::One(b"1")), Ok(Output::Encoded(b"1".to_vec())));
    guest.unload();

    let guest = env.load("sibling.py");
    let raw = guest.post_number(polyloop_abi::METHOD_RAW, &Input::Bytes(b"x"));
    assert_has(&guest.wait(raw).expect_err("fails")["message"], "no function `handle`");
    guest.unload();
}
