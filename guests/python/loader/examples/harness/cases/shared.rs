// SPDX-License-Identifier: Apache-2.0
//! What guests share: threads with what others made of `threading`, and on threads of the host the
//! interpreter and the process.

use super::{Case, Env, assert_has, scratch};
use crate::host::{Input, Load, Output, Runtime};
use serde_json::{Value, json};

pub const ALL: &[Case] = &[
    ("green_threads", green_threads),
    ("one_thread", one_thread),
    ("one_thread_async", one_thread_async),
    ("same_names", same_names),
    ("late_names", late_names),
    ("names_of_the_gone", names_of_the_gone),
    ("no_fault_handler", no_fault_handler),
    ("host_only", host_only),
];

/// What gevent does, as far as a guest of threads can tell: what is started only runs when the
/// thread that started it yields, and what waits waits so. A lock that is free can be had.
const GREEN: &str = r#"
import _thread
import asyncio
import concurrent.futures
import queue
import select
import selectors
import threading


class _Green:
    def __init__(self, *_args, **_options): pass
    def set(self): pass
    def __getattr__(self, name): raise RuntimeError(f"{name}: what is green does not run here")
    def __enter__(self): pass
    def __exit__(self, *_): pass


def _start(*_args, **_options): return 1


for _module in (_thread, threading):
    for _name in ("start_new_thread", "start_new", "_start_new_thread", "start_joinable_thread", "_start_joinable_thread"):
        if hasattr(_module, _name):
            setattr(_module, _name, _start)
    for _name in ("allocate_lock", "allocate", "_allocate_lock", "Lock", "RLock", "Event", "Condition", "Semaphore"):
        if hasattr(_module, _name):
            setattr(_module, _name, _Green)
queue.SimpleQueue = queue.Queue = _Green
selectors.DefaultSelector = selectors.EpollSelector = _Green
vars(select).pop("epoll", None)


async def init(): await asyncio.sleep(0)
def add(a, b): return a + b
async def later(value):
    await asyncio.sleep(0.001)
    return value
def count(n): yield from range(n)
def name(): return threading.current_thread().name
"#;

fn green_threads(env: &Env) {
    let check = |threads, thread: &str| {
        let guest = load(env, "green", GREEN, threads).expect("loads");
        assert_eq!(guest.ask("add", &json!([20, 22])), 42);
        assert_eq!(guest.ask("later", &json!(["x"])), "x");
        assert_eq!(guest.ask("name", &json!([])), thread);
        guest.unload();
    };
    check(1, "polyloop-written.py-1");
    // The same interpreter, in which all is green from the beginning.
    check(1, "polyloop-written.py-1");
    let guest = load(env, "green", GREEN, 3).expect("loads");
    let calls: Vec<u64> = (0..20).map(|_| guest.post("add", &Input::Spread(b"[1, 2]"))).collect();
    for call in calls {
        assert_eq!(guest.wait(call), Ok(Output::Encoded(b"3".to_vec())));
    }
    guest.unload();
}

/// Some objects are for the thread that made them alone: those of sqlite3 say so.
const AFFINE: &str = r#"
import sqlite3
import threading

_module, _init = sqlite3.connect(":memory:"), None
_threads = [threading.get_ident()]


def init():
    global _init
    _init = sqlite3.connect(":memory:")
    _threads.append(threading.get_ident())
"#;

const ASK: &str = r#"
    _threads.append(threading.get_ident())
    return [_module.execute("select 1").fetchone(), _init.execute("select 2").fetchone(), len(set(_threads))]
"#;

fn one_thread(env: &Env) {
    let other = "\n\nasync def other(): return threading.get_ident() in _threads\n";
    let guest = load(env, "one", &format!("{AFFINE}\n\ndef ask():{ASK}{other}"), 1).expect("loads");
    for _ in 0..3 {
        assert_eq!(guest.ask("ask", &json!([])), json!([[1], [2], 1]));
    }
    assert_eq!(guest.ask("other", &json!([])), false, "async functions have a thread of their own beside it");
    guest.unload();
}

fn one_thread_async(env: &Env) {
    for source in [AFFINE.to_owned(), AFFINE.replace("def init", "async def init")] {
        let guest = load(env, "one", &format!("{source}\n\nasync def ask():{ASK}"), 1).expect("loads");
        for _ in 0..3 {
            assert_eq!(guest.ask("ask", &json!([])), json!([[1], [2], 1]));
        }
        guest.unload();
    }
    // What does not load leaves no thread behind.
    for source in [
        "1 / 0",
        "def nothing(): pass\n\ndef init(): 1 / 0",
        "async def no(): pass\n\nasync def init(): 1 / 0",
    ] {
        assert_eq!(load(env, "one", source, 1).err().expect("fails")["type"], "ZeroDivisionError");
    }
    let guest = load(
        env,
        "one",
        "import threading\n\n\ndef names(): return [t.name for t in threading.enumerate()]\n",
        1,
    )
    .expect("loads");
    let names = guest.ask("names", &json!([]));
    let own = names
        .as_array()
        .expect("names")
        .iter()
        .filter(|name| name.as_str().is_some_and(|name| name.contains(".py")));
    assert_eq!(own.count(), 1, "{names}");
    guest.unload();
}

fn load(env: &Env, folder: &str, source: &str, threads: u32) -> Result<Runtime, Value> {
    let path = format!("{}/written.py", scratch(folder));
    std::fs::write(&path, source).expect("the guest is written");
    Runtime::load(&Load { loader: env.file(&path), config: "", codec: "json", threads })
}

/// Loads a guest of a folder, which has files beside it.
fn beside(env: &Env, folder: &str, source: &str, files: &[(&str, &str)]) -> Result<Runtime, Value> {
    let folder = scratch(folder);
    for (name, text) in files.iter().chain(&[("main.py", source)]) {
        let path = std::path::Path::new(&folder).join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
    let path = format!("{folder}/main.py");
    Runtime::load(&Load { loader: env.file(&path), config: "", codec: "json", threads: 0 })
}

const ADVICE: &str = "load one of the two with placement: 'process'";

fn same_names(env: &Env) {
    let source = "import utils\n\n\ndef who(): return utils.WHO\n";
    let late = "def who():\n    from pkg import helpers\n    return helpers.WHO\n";
    let a = beside(env, "a", source, &[("utils.py", "WHO = 'a'\n"), ("unused.py", ""), ("setup.py", "")])
        .expect("loads");
    // What lies there and is not imported is in nobody's way.
    let c =
        beside(env, "c", "def who(): return 'c'\n", &[("utils.py", ""), ("setup.py", "")]).expect("loads");
    assert_eq!((a.ask("who", &json!([])), c.ask("who", &json!([]))), (json!("a"), json!("c")));
    let refused = |folder: &str, source: &str, files: &[(&str, &str)]| {
        let error = beside(env, folder, source, files).err().expect("refused");
        assert_has(&error["message"], ADVICE);
        error["message"].as_str().expect("text").to_owned()
    };
    let why = refused("b", source, &[("utils.py", "WHO = 'b'\n")]);
    assert!(why.contains("/b/utils.py, and ") && why.contains("/a/utils.py"), "{why}");
    // By what it imports beside it, and late.
    refused(
        "b",
        "import more\n\n\ndef who(): pass\n",
        &[("more.py", "def f(): import utils\n"), ("utils.py", "")],
    );
    // One that means another module by the name gets none of a's.
    refused("b", source, &[]);
    c.unload();
    // A second one of the same folder shares it.
    let path = format!(
        "{}/second.py",
        a.manifest()["info"]["file"].as_str().expect("a file").trim_end_matches("/main.py")
    );
    std::fs::write(&path, source).expect("written");
    let second = Runtime::load(&Load { loader: env.file(&path), config: "", codec: "json", threads: 0 })
        .expect("loads");
    assert_eq!(second.ask("who", &json!([])), "a");
    second.unload();
    a.unload();

    let files = [("pkg/__init__.py", ""), ("pkg/helpers.py", "WHO = 'a'\n")];
    let a = beside(env, "late/a", late, &files).expect("loads");
    refused("late/b", late, &files);
    assert_eq!(a.ask("who", &json!([])), "a");
    a.unload();
}

fn late_names(env: &Env) {
    let late = "def who():\n    import helpers\n    return helpers.WHO\n";
    let a = beside(env, "a", late, &[("helpers.py", "WHO = 'a'\n")]).expect("loads");
    let by_name = "import importlib\n\n\ndef who(name): return importlib.import_module(name).WHO\n";
    let files = [("helpers.py", "WHO = 'b'\n"), ("other.py", "WHO = 'b'\n")];
    let b = beside(env, "b", by_name, &files).expect("loads");
    // b's folder comes first on the path.
    assert_eq!(a.ask("who", &json!([])), "a");
    let c = beside(env, "c", by_name, &[("other.py", "WHO = 'c'\n"), ("third.py", "WHO = 'c'\n")])
        .expect("loads");
    for guest in [&b, &c] {
        assert_has(&guest.blame("who", &json!(["other"]))["message"], ADVICE);
    }
    assert_eq!(c.ask("who", &json!(["third"])), "c");
    assert_eq!(b.blame("who", &json!(["fourth"]))["type"], "ModuleNotFoundError");
    for guest in [a, b, c] {
        guest.unload();
    }
}

fn names_of_the_gone(env: &Env) {
    let source = "import utils\n\n\ndef who(): return utils.WHO\n";
    for who in ["a", "b", "a"] {
        let guest = beside(env, who, source, &[("utils.py", &format!("WHO = '{who}'\n"))]).expect("loads");
        assert_eq!(guest.ask("who", &json!([])), who);
        guest.unload();
    }
    // Not beside it: not that of a guest that is gone.
    let error = beside(env, "c", source, &[]).err().expect("fails");
    assert_eq!(error["type"], "ModuleNotFoundError");
}

/// In an environment that asks for it.
fn no_fault_handler(env: &Env) {
    let handlers = || -> Vec<usize> {
        let signals = [libc::SIGSEGV, libc::SIGFPE, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGINT];
        signals
            .iter()
            .map(|signal| {
                // SAFETY: all zeros is a value of it, which is written to.
                unsafe {
                    let mut action: libc::sigaction = std::mem::zeroed();
                    libc::sigaction(*signal, std::ptr::null(), &raw mut action);
                    action.sa_sigaction
                }
            })
            .collect()
    };
    let before = handlers();
    let source = "import faulthandler\n\n\ndef enabled(): return faulthandler.is_enabled()\n";
    let guest = env.write_and_load(source).expect("loads");
    assert_eq!(guest.ask("enabled", &json!([])), false);
    assert_eq!(handlers(), before);
    guest.unload();
}

const HOST_ONLY: &str = r"
import signal


def ask(): return input()
def alarm(seconds): return signal.alarm(seconds)
def timer(seconds): return signal.setitimer(signal.ITIMER_PROF, seconds, 0)
def v8(): import py_mini_racer
def handle_signals(): signal.signal(signal.SIGTERM, lambda *_: None)
";

fn host_only(env: &Env) {
    let guest = env.write_and_load(HOST_ONLY).expect("loads");
    for (name, arguments) in [("alarm", json!([1])), ("timer", json!([0.5])), ("v8", json!([]))] {
        assert_has(&guest.blame(name, &arguments)["message"], "use placement: 'process'");
    }
    assert_eq!(guest.ask("alarm", &json!([0])), 0);
    assert_eq!(guest.blame("handle_signals", &json!([]))["type"], "ValueError");
    assert_eq!(guest.blame("ask", &json!([]))["type"], "EOFError");
    guest.unload();
}
