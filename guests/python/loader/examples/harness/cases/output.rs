// SPDX-License-Identifier: Apache-2.0
use super::{Case, Env};
use crate::host::Input;
use serde_json::json;
use std::io::Read;
use std::os::fd::IntoRawFd;

pub const ALL: &[Case] = &[
    ("print", print),
    ("print_whole_lines", whole_lines),
    ("logging", logging),
    ("print_unloaded", unloaded),
];

fn print(env: &Env) {
    let guest = env.load("basic.py");
    guest.ask("print_lines", &json!([3]));
    assert_eq!(guest.logged(1), "line 0\nline 1\nline 2\n");
    guest.ask("print_partial", &json!(["no newline"]));
    assert!(guest.logged(1).ends_with("line 2\nno newline\n"), "before the response");
    guest.ask("print_error", &json!(["grüße \u{1f600}"]));
    assert_eq!(guest.logged(2), "grüße \u{1f600}\n");
    guest.ask("print_bytes", &json!([]));
    assert!(guest.logged(1).ends_with("grüße\n"));
    guest.ask("print_from_thread", &json!(["from a thread"]));
    assert!(guest.logged(1).ends_with("from a thread\n"));
    guest.unload();
}

fn whole_lines(env: &Env) {
    let guest = env.load("basic.py");
    let texts = ["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"];
    let slow = texts.map(|text| guest.post("print_slowly", &Input::One(format!("\"{text}\"").as_bytes())));
    let lines: Vec<u64> = (0..8).map(|_| guest.post("print_lines", &Input::One(b"200"))).collect();
    for id in slow.into_iter().chain(lines) {
        guest.wait(id).expect("prints");
    }
    let logged = guest.logged(1);
    let mut odd: Vec<&str> = logged.lines().filter(|line| !line.starts_with("line ")).collect();
    odd.sort_unstable();
    assert_eq!(odd, texts);
    assert_eq!(logged.lines().filter(|line| line.starts_with("line ") && line.len() <= 8).count(), 1600);
    guest.unload();
}

fn logging(env: &Env) {
    let guest = env.load("basic.py");
    guest.ask("log_lines", &json!([2]));
    assert_eq!(guest.logged(2), "WARNING:root:logged 0\nWARNING:root:logged 1\n");
    let other = env.load("basic.py");
    other.ask("print_lines", &json!([1]));
    assert_eq!(
        (other.logged(1).as_str(), guest.logged(1).as_str()),
        ("line 0\n", ""),
        "each to its own runtime"
    );
    guest.unload();
    other.unload();
    let printing =
        "print('at import')\n\n\ndef init(config):\n    print('in init', end='')\n\n\ndef f():\n    pass\n";
    let guest = env.write_and_load(printing).expect("loads");
    assert_eq!(guest.logged(1), "at import\nin init\n");
    guest.unload();
}

const LATE: &str = r#"
import os
import threading


def _print_late(go, done):
    os.read(go, 1)
    print("printed after the unload", flush=True)
    os.close(done)


def start(go, done): threading.Thread(target=_print_late, args=(go, done)).start()
"#;

fn unloaded(env: &Env) {
    let guest = env.write_and_load(LATE).expect("loads");
    let ((go, leave), (mut done, over)) =
        (std::io::pipe().expect("a pipe"), std::io::pipe().expect("a pipe"));
    guest.ask("start", &json!([go.into_raw_fd(), over.into_raw_fd()]));
    guest.unload();
    drop(leave);
    // The line goes to this process's own stdout, where the test looks for it.
    done.read_to_end(&mut Vec::new()).expect("the thread closes it");
}
