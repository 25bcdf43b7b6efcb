// SPDX-License-Identifier: Apache-2.0
use super::beat::{self, Still};
use super::{Case, Env, assert_has};
use crate::host::{Input, Output};
use serde_json::json;
use std::time::Duration;

pub const ALL: &[Case] = &[
    ("two_runtimes", two),
    ("many_at_once", many),
    ("unload_in_flight", in_flight),
    ("crash", crash),
    ("stress", stress),
    ("exit", exit),
];

fn two(env: &Env) {
    let first = env.try_load("basic.py", "1", "json").expect("loads");
    let second = env.try_load("basic.py", "2", "json").expect("loads");
    assert_eq!((first.ask("config", &json!([])), second.ask("config", &json!([]))), (json!(1), json!(2)));
    let module = |who: serde_json::Value| who["module"].clone();
    assert_eq!(module(first.ask("whoami", &json!([]))), "basic");
    assert_ne!(module(second.ask("whoami", &json!([]))), "basic");
    first.unload();
    assert_eq!(second.ask("config", &json!([])), 2);
    let third = env.try_load("basic.py", "3", "json").expect("loads");
    assert_eq!(module(third.ask("whoami", &json!([]))), "basic", "the name is free again");
    third.unload();
    second.unload();
}

fn many(env: &Env) {
    std::thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || {
                for round in 0..3 {
                    let guest = env.try_load("basic.py", &format!("{number}"), "json").expect("loads");
                    assert_eq!(guest.ask("config", &json!([])), number, "round {round}");
                    assert_eq!(guest.ask("echo_async", &json!([number])), number);
                    guest.unload();
                }
            });
        }
    });
}

fn in_flight(env: &Env) {
    let guest = env.load("basic.py");
    let ids: Vec<u64> = (0..20)
        .map(|number| {
            guest.post(if number % 2 == 0 { "sleep_ms" } else { "sleep_async" }, &Input::One(b"100"))
        })
        .collect();
    guest.stop();
    for id in ids {
        assert_eq!(guest.wait(id), Ok(Output::Encoded(b"100".to_vec())));
    }
    guest.unload();

    // A join that begins with calls in flight waits for them.
    let guest = env.load("basic.py");
    guest.post("sleep_async", &Input::One(b"200"));
    std::thread::sleep(Duration::from_millis(50));
    let pages = guest.unload_and_count();
    assert_eq!(pages, 0);
}

fn crash(env: &Env) {
    let guest = env.load("basic.py");
    let stuck = guest.post("sleep_async", &Input::One(b"60000"));
    let stopper = guest.post("stop_loop", &Input::Empty);
    assert_has(&guest.failure()["message"], "stopped its asyncio loop");
    for id in [stuck, stopper] {
        guest.wait(id).expect_err("a call on a loop that is no more");
    }
    for _ in 0..5 {
        let error = guest.blame("echo_async", &json!([1]));
        assert_has(&error["message"], "has ended");
    }
    assert_eq!(guest.ask("echo", &json!([1])), 1, "the pool lives");
    guest.unload();
    env.load("basic.py").unload();
}

/// Everything at once, from several threads of the host: each answer has to fit its question.
fn stress(env: &Env) {
    let guest = env.load("basic.py");
    std::thread::scope(|scope| {
        for caller in 0..4_usize {
            let guest = &guest;
            scope.spawn(move || {
                for round in 0..40 {
                    let data: Vec<u8> = format!("{caller}/{round}").into_bytes().repeat(1 + round * 7);
                    let bytes = Input::Bytes(&data);
                    let echoes = ["echo", "echo_async", "handle"].map(|name| guest.post(name, &bytes));
                    let failures =
                        ["fail", "fail_async", "exits_async"].map(|name| guest.post(name, &Input::Empty));
                    let others = ["print_lines", "sleep_ms", "sleep_async"]
                        .map(|name| guest.post(name, &Input::One(b"2")));
                    let kept = guest.post("keep", &bytes);
                    let dropped = guest.post("drop_kept", &Input::Empty);
                    for id in echoes {
                        assert_eq!(guest.wait(id), Ok(Output::Bytes(data.clone())));
                    }
                    for id in failures {
                        guest.wait(id).expect_err("fails");
                    }
                    for id in others.into_iter().chain([kept, dropped]) {
                        guest.wait(id).expect("succeeds");
                    }
                }
            });
        }
    });
    guest.ask("drop_kept", &json!([]));
    assert_eq!((guest.holds().0, guest.pages()), (0, 0));
    guest.unload();
}

/// Leaves with calls in flight and nothing unloaded; how the process ends is for the test to see.
fn exit(env: &Env) {
    let guest = env.load("basic.py");
    for name in ["sleep_ms", "sleep_async"] {
        guest.post(name, &Input::One(b"3000"));
    }
    let other = env.write_and_load(beat::SOURCE).expect("loads");
    let still = Still::begin(&other, "hold_gil");
    let threads = guest.post("print_lines", &Input::One(b"100000"));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!guest.is_answered(threads), "the GIL is held");
    // Nothing is dropped: a call that stands still would go on.
    std::mem::forget(still);
}
