// SPDX-License-Identifier: Apache-2.0
//! What holds only if the process is the interpreter itself.

use super::{Case, Env, fixture};
use crate::host::Input;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub const ALL: &[Case] = &[
    ("own_interpreter", own_interpreter),
    ("own_import_path", import_path),
    ("own_signals", signals),
    ("own_exit", exit),
    ("own_exit_by_signal", exit_by_signal),
];

/// Libpythons that are mapped into this process.
fn libpythons() -> BTreeSet<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.filter(|path| path.contains("/libpython")).map(str::to_owned).collect()
}

fn own_interpreter(env: &Env) {
    let before = libpythons();
    let guest = env.load("basic.py");
    assert_eq!(libpythons(), before, "none was opened");
    assert_eq!(guest.ask("add", &json!([20, 22])), 42);
    assert_eq!(guest.ask("echo_async", &json!(["async"])), "async");
    let who = guest.ask("whoami", &json!([]));
    for key in ["executable", "prefix", "base_prefix", "version"] {
        assert_eq!(who[key], env.probe[key], "{key}");
    }
    assert_eq!(who["pid"], std::process::id());
    assert_eq!(who["argv"], json!([fixture("basic.py")]));
    guest.unload();
}

/// As when the loader initialises the interpreter: neither the working directory nor the folder of
/// `process.py` is among them.
fn import_path(env: &Env) {
    let guest = env.write_and_load("import sys\n\n\ndef path(): return sys.path[1:]\n").expect("loads");
    assert_eq!(guest.ask("path", &json!([])), env.probe["path"]);
    guest.unload();
}

const SIGNALS: &str = r"
import os
import signal
import threading

_heard = threading.Event()
before = signal.getsignal(signal.SIGINT)
signal.signal(signal.SIGUSR1, lambda *_: _heard.set())


def init(): signal.signal(signal.SIGUSR2, lambda *_: _heard.set())
def is_handled(): return before not in (signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler)
def heard(number, to_thread):
    _heard.clear()
    if to_thread:
        signal.pthread_kill(threading.get_ident(), number)
    else:
        os.kill(os.getpid(), number)
    return _heard.wait(20)
def interrupt(): os.kill(os.getpid(), signal.SIGINT)
def main_thread(): return threading.main_thread().name
";

fn signals(env: &Env) {
    let guest = env.write_and_load(SIGNALS).expect("loads");
    assert_eq!(guest.ask("is_handled", &json!([])), true);
    assert_eq!(guest.ask("interrupt", &json!([])), Value::Null);
    // To the process, or to a thread of the pool, which leaves the main thread asleep. And right
    // after the one before, which the main thread may still be about.
    for signal in [libc::SIGUSR1, libc::SIGUSR2].repeat(50) {
        for to_thread in [false, true] {
            let heard = guest.ask("heard", &json!([signal, to_thread]));
            assert_eq!(heard, true, "signal {signal}, to the thread: {to_thread}");
        }
    }
    assert_eq!(guest.ask("main_thread", &json!([])), "MainThread");
    guest.unload();
}

const EXIT: &str = r#"
import atexit
import os
import signal
import sys
import threading
import weakref


class Kept: pass


kept = Kept()
weakref.finalize(kept, os.write, 1, b"finalised\n")
atexit.register(os.write, 1, b"atexit ran\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))


def nothing(): pass
def terminate(): os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait(30)
"#;

/// What the interpreter runs at its end is for the test to see.
fn exit(env: &Env) {
    let guest = env.write_and_load(EXIT).expect("loads");
    assert_eq!(guest.ask("nothing", &json!([])), Value::Null);
    guest.unload();
}

/// The status, too.
fn exit_by_signal(env: &Env) {
    let guest = env.write_and_load(EXIT).expect("loads");
    // The process ends in the call: what the case wrote is not needed any more.
    super::clean();
    let call = guest.post("terminate", &Input::Empty);
    guest.wait(call).expect("never: the process ends first");
}
