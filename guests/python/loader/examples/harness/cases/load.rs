// SPDX-License-Identifier: Apache-2.0
use super::{Case, Env, assert_has, fixture};
use crate::host::{Load, Runtime};
use serde_json::{Value, json};

pub const ALL: &[Case] = &[
    ("manifest", manifest),
    ("config", config),
    ("init", init),
    ("failures", failures),
    ("module", module),
    ("venv", venv),
    ("process", process),
    ("refusals", refusals),
];

fn names(guest: &Runtime) -> Vec<String> {
    let methods = guest.manifest()["methods"].as_array().expect("methods");
    methods.iter().map(|method| method["name"].as_str().expect("name").to_owned()).collect()
}

fn manifest(env: &Env) {
    let guest = env.load("basic.py");
    let methods = guest.manifest()["methods"].as_array().expect("methods");
    let find = |name: &str| methods.iter().find(|method| method["name"] == name).expect("a method");
    assert_eq!(find("add"), &json!({"name": "add", "params": ["a", "b"], "async": false}));
    assert_eq!(
        find("sleep_async"),
        &json!({"name": "sleep_async", "params": ["milliseconds"], "async": true})
    );
    assert_eq!(guest.manifest()["info"]["python"], env.probe["version"]);
    assert!(names(&guest).iter().all(|name| name != "init" && name != "Error" && !name.starts_with('_')));
    guest.unload();

    let guest = env.load("sibling.py");
    assert_eq!(names(&guest), ["triple", "double", "cached", "square"]);
    assert_eq!(guest.ask("triple", &json!([2])), 6);
    guest.unload();
    let guest = env.load("exports.py");
    assert_eq!(names(&guest), ["crc32", "public", "sqrt"]);
    assert_eq!(guest.ask("sqrt", &json!([16])), 4.0);
    guest.unload();
}

fn config(env: &Env) {
    let guest = env.try_load("basic.py", r#"{"lang":"en"}"#, "json").expect("loads");
    assert_eq!(guest.ask("config", &json!([])), json!({"lang": "en"}));
    guest.unload();
    let guest = env.load("basic.py");
    assert_eq!(guest.ask("config", &json!([])), Value::Null);
    guest.unload();
}

fn init(env: &Env) {
    let guest = env.try_load("init_async.py", "7", "json").expect("loads");
    assert_eq!(guest.ask("config", &json!([])), 7);
    assert_eq!(guest.ask("same_loop", &json!([])), true);
    guest.unload();
    let error = env.try_load("init_fails.py", r#""x""#, "json").err().expect("fails");
    assert_eq!((&error["type"], &error["message"]), (&json!("RuntimeError"), &json!("no model for x")));
    assert_has(&error["stack"], "init_fails.py\", line 6, in init");
    assert!(!error["stack"].as_str().expect("stack").contains("<polyloop>"), "{error}");
    let exits = env.write_and_load("import sys\nsys.exit(3)\n").err().expect("fails");
    assert_eq!(exits["type"], "SystemExit");
}

fn failures(env: &Env) {
    let fail = |name: &str| env.try_load(name, "", "json").err().unwrap_or_else(|| panic!("{name} loads"));
    let error = fail("syntax_error.py");
    assert_eq!(error["type"], "SyntaxError");
    assert_has(&error["stack"], "syntax_error.py\", line 5");
    assert_has(&error["stack"], "^");
    let error = fail("import_missing.py");
    assert_eq!((&error["type"], error.get("code")), (&json!("ModuleNotFoundError"), None));
    assert_has(&error["message"], "-m pip install ...");
    assert_has(&error["stack"], "import_missing.py\", line 4");
    assert_has(&fail("no_functions.py")["message"], "define one");
    let error = fail("absent.py");
    assert_eq!((&error["type"], &error["code"]), (&json!("FileNotFoundError"), &json!("not-found")));
    assert_has(&error["message"], "absent.py does not exist");
    assert_has(&fail("")["message"], "is a folder");
    // After all these the interpreter still serves.
    env.load("basic.py").unload();
}

fn load_module(env: &Env, name: &str) -> Result<Runtime, Value> {
    Runtime::load(&Load { loader: env.module(name), config: "", codec: "json", threads: 2 })
}

fn module(env: &Env) {
    let guest = load_module(env, "colorsys").expect("a module of the stdlib");
    assert_eq!(guest.ask("rgb_to_hsv", &json!([0, 0, 1])), json!([2.0 / 3.0, 1.0, 1]));
    guest.unload();
    for (name, advice) in [
        ("no_such_module", "-m pip install ..."),
        ("json.no_such_module", "json has no such module"),
        ("no_such_package.module", "-m pip install ..."),
    ] {
        let error = load_module(env, name).err().expect("fails");
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("ModuleNotFoundError"), &json!("not-found")),
            "{name}"
        );
        assert_has(&error["message"], advice);
    }
}

/// With the interpreter of a virtual environment that the test has made and furnished.
fn venv(env: &Env) {
    let folder = env.python.strip_suffix("/bin/python").expect("an environment");
    for name in ["installed_here", "linked_here"] {
        let guest = load_module(env, name).expect("a module of the environment");
        assert_has(&guest.ask("where", &json!([])), folder);
        guest.unload();
    }
    let guest = env.load("basic.py");
    let who = guest.ask("whoami", &json!([]));
    for key in ["executable", "prefix", "base_prefix", "version"] {
        assert_eq!(who[key], env.probe[key], "{key}");
    }
    let fixtures = who["path"][0].clone();
    assert_eq!(fixtures, fixture("").trim_end_matches('/'));
    let path: Vec<&Value> =
        who["path"].as_array().expect("path").iter().filter(|entry| **entry != fixtures).collect();
    assert_eq!(path, env.probe["path"].as_array().expect("path").iter().collect::<Vec<_>>());
    guest.unload();
}

const PROCESS: &str = r#"
import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys


def square(number): return number * number
async def piped():
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1)", stdout=asyncio.subprocess.PIPE)
    return (await child.communicate())[0].decode()
def spawned(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(square, [1, 2, 3])
def version(): return subprocess.check_output([sys.executable, "-c", "import sys; print(sys.prefix)"], text=True).strip()
def handler(): return signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.default_int_handler)
def encodings(): return [sys.getfilesystemencoding(), sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.fileno()]
"#;

fn process(env: &Env) {
    let before = signal_actions();
    let guest = env.write_and_load(PROCESS).expect("loads");
    assert_eq!(before, signal_actions(), "no signal handler was installed");
    for method in ["spawn", "fork"] {
        assert_eq!(guest.ask("spawned", &json!([method])), json!([1, 4, 9]), "{method}");
    }
    assert_eq!(guest.ask("piped", &json!([])), "1\n");
    assert_eq!(guest.ask("version", &json!([])), env.probe["prefix"]);
    assert_eq!(guest.ask("encodings", &json!([])), json!(["utf-8", "utf-8", false, 1]));
    guest.unload();
}

fn signal_actions() -> Vec<usize> {
    let action = |signal| {
        // SAFETY: only asks; a zeroed sigaction is valid to be written to.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            action.sa_sigaction
        }
    };
    [libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGXFSZ, libc::SIGCHLD].map(action).to_vec()
}

fn refusals(env: &Env) {
    let running = || json!({ "module": "json", "running": true });
    let misled = |loader: Value, part: &str| {
        let loaded = Runtime::load(&Load { loader, config: "", codec: "json", threads: 0 });
        assert_has(&loaded.err().expect("fails")["message"], part);
    };
    misled(json!({}), "loader option needs a module or a file");
    misled(json!({ "module": "json" }), "loader option needs a probe, or running");
    misled(json!({ "module": "json", "running": "yes" }), "loader option is not");
    misled(running(), "is no CPython, or one that hides its functions: start");
    let refuse = |key: &str, value: Value| {
        let mut probe = env.probe.clone();
        probe[key] = value;
        let loader = json!({ "module": null, "file": fixture("basic.py"), "probe": probe });
        let loaded = Runtime::load(&Load { loader, config: "", codec: "json", threads: 0 });
        loaded.err().expect("fails")["message"].clone()
    };
    assert_has(&refuse("implementation", json!("pypy")), "is not CPython");
    assert_has(&refuse("version_info", json!([3, 8, 18])), "is not CPython 3.9 to 3.14");
    assert_has(&refuse("version_info", json!([3, 15, 0])), "is not CPython 3.9 to 3.14");
    assert_has(&refuse("gil", json!(false)), "free-threaded");
    assert_has(&refuse("trace_refs", json!(true)), "release build");
    assert_has(&refuse("libpython", json!([])), "no shared libpython");
    assert_has(&refuse("libpython", json!(["/nowhere/libpython3.so"])), "cannot be used: /nowhere");
    assert_has(&refuse("libpython", json!(["/proc/self/exe"])), "cannot be used");
    assert_has(&refuse("version", json!("3.11.99")), "not 3.11.99");
    misled(running(), "has not initialised its CPython: start");
    env.load("basic.py").unload();
    let message = refuse("prefix", json!("/another/venv"));
    assert_has(&message, "a process holds one interpreter");
    let loaded = Load { loader: running(), config: "", codec: "json", threads: 0 };
    Runtime::load(&loaded).expect("the loader's own interpreter runs now").unload();
}
