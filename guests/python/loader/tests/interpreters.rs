// SPDX-License-Identifier: Apache-2.0
//! Every case with every CPython 3.9 to 3.14 that can be found: `POLYLOOP_PYTHONS` (paths separated
//! by colons), pyenv's versions, and `python3` and `python3.N` of PATH. With
//! `POLYLOOP_PYTHONS_TAKE=ends` the oldest and the newest of them stand for all. Each in the
//! harness's process, if the interpreter has a shared libpython to open, and in a process of the
//! interpreter itself.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(5);
const BOOTSTRAP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/process.py");

/// Where a guest runs.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In the harness's process, which opens the interpreter's libpython.
    Harness,
    /// In a process of its own, which is the interpreter.
    Own,
}

struct Interpreter {
    python: PathBuf,
    /// The interpreter has a libpython that another process can open.
    shared: bool,
}

/// One interpreter of each version, by version.
fn interpreters() -> &'static BTreeMap<String, Interpreter> {
    static FOUND: OnceLock<BTreeMap<String, Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = BTreeMap::new();
        for python in candidates() {
            if let Some((version, shared)) = usable(&python) {
                found.entry(version).or_insert(Interpreter { python, shared });
            }
        }
        let describe = |interpreter: &Interpreter| interpreter.python.display().to_string();
        let shared = found.values().filter(|interpreter| interpreter.shared).count();
        assert!(shared > 0, "no CPython 3.9 to 3.14 with a shared libpython: set POLYLOOP_PYTHONS");
        if std::env::var("POLYLOOP_PYTHONS_TAKE").as_deref() == Ok("ends") {
            keep_ends(&mut found);
        }
        eprintln!("interpreters: {:?}", found.values().map(describe).collect::<Vec<_>>());
        found
    })
}

/// Keeps the oldest and the newest of those that can serve everywhere.
fn keep_ends(found: &mut BTreeMap<String, Interpreter>) {
    found.retain(|_, interpreter| interpreter.shared);
    let ends = [found.keys().next().cloned(), found.keys().next_back().cloned()];
    found.retain(|version, _| ends.iter().flatten().any(|end| end == version));
}

/// Those that can serve there.
fn fit(place: Place) -> impl Iterator<Item = (&'static str, &'static Path)> {
    let fit = move |interpreter: &Interpreter| interpreter.shared || place == Place::Own;
    let fit = interpreters().iter().filter(move |(_, interpreter)| fit(interpreter));
    fit.map(|(version, interpreter)| (version.as_str(), interpreter.python.as_path()))
}

fn candidates() -> Vec<PathBuf> {
    let named = std::env::var("POLYLOOP_PYTHONS").unwrap_or_default();
    let mut candidates: Vec<PathBuf> =
        named.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    candidates.extend(pyenv("python"));
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        candidates.extend((9..=14).map(|minor| folder.join(format!("python3.{minor}"))));
        candidates.push(folder.join("python3"));
    }
    candidates.retain(|path| path.is_file() && !path.to_string_lossy().contains("/shims/"));
    candidates
}

/// The interpreters of that name in pyenv's versions, if there is pyenv.
fn pyenv(name: &str) -> Vec<PathBuf> {
    let Ok(root) = Command::new("pyenv").arg("root").stderr(Stdio::null()).output() else {
        return Vec::new();
    };
    let versions = Path::new(String::from_utf8_lossy(&root.stdout).trim()).join("versions");
    let folders = std::fs::read_dir(versions).into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("bin").join(name)).collect()
}

/// The interpreter's version, and whether it has a libpython to open.
fn usable(python: &Path) -> Option<(String, bool)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/probe.py");
    let output = Command::new(python).arg(script).stderr(Stdio::null()).output().ok()?;
    let probe: Value = serde_json::from_slice(&output.stdout).ok()?;
    let minor = probe["version_info"][1].as_u64()?;
    let fits = probe["implementation"] == "cpython"
        && probe["version_info"][0] == 3
        && (9..=14).contains(&minor)
        && probe["gil"] == true;
    let shared = !probe["libpython"].as_array()?.is_empty();
    fits.then(|| (format!("3.{minor:02} {}", probe["version"]), shared))
}

/// A file that cargo made of an example.
fn example(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("own path");
    folder.pop();
    folder.pop();
    folder.join("examples").join(name)
}

/// The command that runs a case.
fn command(place: Place, case: &str, python: &Path) -> Command {
    match place {
        Place::Harness => {
            let mut command = Command::new(example("harness"));
            command.arg(python).arg(case);
            command
        }
        Place::Own => {
            let mut command = Command::new(python);
            command.arg(BOOTSTRAP).arg(example("libprocess.so"));
            command.env("POLYLOOP_PYTHON", python).env("POLYLOOP_CASE", case);
            command
        }
    }
}

/// Runs a command that a watchdog ends.
fn watched(what: &str, command: &mut Command) -> Output {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command is there");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("wait").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("kill");
            let output = child.wait_with_output().expect("output");
            panic!("{what} hangs: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("output")
}

/// Runs a case with each interpreter that fits; answers what they printed.
fn all(place: Place, case: &str) -> Vec<String> {
    fit(place).map(|(version, python)| one(place, case, version, python, &[])).collect()
}

fn one(place: Place, case: &str, version: &str, python: &Path, environment: &[(&str, &str)]) -> String {
    let what = format!("{case} with {version}");
    let output = watched(&what, command(place, case, python).envs(environment.iter().copied()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = output.status.success() && text.contains(&format!("passed {case}"));
    assert!(passed, "{what}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}

/// A virtual environment with something installed and something linked, until it is dropped.
struct Venv(PathBuf);

impl Venv {
    fn new(python: &Path, name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("polyloop-{name}-{}", std::process::id()));
        let venv = Self(folder);
        let made = Command::new(python).args(["-m", "venv", "--without-pip"]).arg(&venv.0).status();
        assert!(made.expect("the interpreter runs").success());
        let ask = ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"];
        let site = Command::new(venv.python()).args(ask).output().expect("the interpreter runs");
        let site = PathBuf::from(String::from_utf8(site.stdout).expect("text").trim());
        let linked = site.join("../linked");
        std::fs::create_dir_all(&linked).expect("folder");
        for file in [site.join("installed_here.py"), linked.join("linked_here.py")] {
            std::fs::write(file, "def where(): return __file__\n").expect("written");
        }
        std::fs::write(site.join("link.pth"), "../linked\n").expect("written");
        venv
    }

    fn python(&self) -> PathBuf {
        self.0.join("bin/python")
    }
}

impl Drop for Venv {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn in_venvs(place: Place, name: &str) {
    for (number, (version, python)) in fit(place).enumerate() {
        let venv = Venv::new(python, &format!("{name}-{number}"));
        one(place, "venv", version, &venv.python(), &[]);
    }
}

macro_rules! cases {
    ($place:expr; $($test:ident: $case:literal;)*) => {
        $(#[test]
        fn $test() {
            super::all($place, $case);
        })*
    };
}

/// A test of each case in either place.
macro_rules! cases_of_both {
    ($($test:ident: $case:literal;)*) => {
        mod in_the_hosts_process {
            cases! { super::Place::Harness; $($test: $case;)* }
        }

        mod in_a_process_of_its_own {
            cases! { super::Place::Own; $($test: $case;)* }
        }
    };
}

cases_of_both! {
    bytes_come_back_as_they_went_in: "bytes";
    values_travel_as_json: "json";
    msgpack_is_the_guests_own_package: "msgpack";
    async_functions_share_one_loop_and_one_taking_thread: "async";
    sync_functions_run_side_by_side: "concurrency";
    a_context_variable_set_by_a_call_is_not_seen_by_the_next: "context";
    a_function_that_holds_the_gil_holds_up_python_alone: "gil";
    a_request_stays_valid_while_a_view_of_it_lives: "views";
    views_of_every_kind_are_safe: "view_kinds";
    the_exporter_of_an_ended_task_exports_nothing: "view_exporter";
    an_unload_drops_what_the_module_kept: "view_unload";
    exceptions_keep_type_message_code_rc_and_cause: "errors";
    tracebacks_are_as_python_prints_them: "traceback";
    a_result_that_cannot_be_sent_says_what_to_return: "unserialisable";
    system_exit_and_its_like_end_the_call_only: "exits";
    bad_requests_are_errors: "bad_input";
    the_manifest_lists_what_is_public: "manifest";
    init_gets_the_config: "config";
    init_may_be_async_and_may_fail: "init";
    a_module_that_does_not_load_says_why: "failures";
    a_module_is_imported_by_its_name: "module";
    child_processes_and_signals_are_as_without_polyloop: "process";
    what_is_printed_reaches_the_host: "print";
    lines_stay_whole: "print_whole_lines";
    logging_reaches_the_runtime_that_logs: "logging";
    runtimes_of_one_process_do_not_mix: "two_runtimes";
    runtimes_may_come_and_go_at_once: "many_at_once";
    calls_in_flight_finish_before_an_unload: "unload_in_flight";
    a_guest_that_stops_its_loop_is_reported_and_nothing_hangs: "crash";
    calls_of_all_kinds_at_once_are_answered_each_by_its_own: "stress";
    generators_and_iterators_answer_item_by_item: "stream_items";
    items_before_an_error_arrive: "stream_error";
    a_generator_stands_still_without_credit_and_nobody_else_does: "stream_pressure";
    a_stream_of_the_caller_is_the_last_argument: "stream_input";
    bytes_of_a_stream_go_back_one_by_one: "stream_blocks";
    a_view_of_an_item_outlives_the_call: "stream_views";
    items_go_both_ways_at_once: "stream_duplex";
    wrong_use_of_streams_says_what_is_wrong: "stream_misuse";
    the_manifest_says_what_streams: "stream_manifest";
    whatever_a_function_returns_can_be_streamed: "stream_kinds";
    streams_of_all_kinds_at_once_do_not_mix: "stream_stress";
    an_async_call_that_is_given_up_is_cancelled: "cancel_async";
    a_sync_call_that_is_given_up_can_tell: "cancel_sync";
    a_generator_that_is_given_up_is_closed: "cancel_streams";
    a_call_that_waits_for_input_can_be_given_up: "cancel_input";
    a_call_that_is_given_up_before_its_start_does_not_start: "cancel_unstarted";
    odd_ends_of_cancelled_calls_are_cancelled_all_the_same: "cancel_edges";
    a_call_knows_how_long_its_caller_waits: "deadline";
    context_goes_in_and_annotations_come_back: "trace";
    calls_leave_no_garbage: "garbage";
    a_beat_comes_and_leaves_nothing_behind: "beat_idle";
    no_beat_comes_while_c_code_holds_the_gil: "beat_gil";
    no_beat_comes_while_an_async_function_blocks_the_loop: "beat_loop";
    a_loop_that_has_ended_is_not_waited_for: "beat_ended";
    beats_disturb_no_calls: "beat_busy";
    a_module_that_makes_threads_cooperative_is_served_by_real_ones: "green_threads";
    with_one_thread_module_init_and_functions_run_on_it: "one_thread";
    with_one_thread_a_guest_that_is_all_async_runs_on_its_loops: "one_thread_async";
}

mod only_in_the_hosts_process {
    use super::Place;

    cases! {
        Place::Harness;
        an_interpreter_that_will_not_do_is_refused: "refusals";
        a_process_may_exit_with_calls_in_flight: "exit";
        a_guest_that_would_get_anothers_module_is_refused: "same_names";
        a_late_import_gets_the_file_that_is_meant: "late_names";
        modules_of_a_guest_that_is_gone_are_not_taken: "names_of_the_gone";
        what_would_end_the_host_is_refused: "host_only";
    }
}

mod only_in_a_process_of_its_own {
    use super::Place;

    cases! {
        Place::Own;
        the_interpreter_that_runs_is_used_and_none_opened: "own_interpreter";
        the_import_path_is_as_in_the_hosts_process: "own_import_path";
        a_module_may_handle_signals_and_sigint_does_nothing: "own_signals";
    }
}

#[test]
fn a_virtual_environment_is_honoured() {
    in_venvs(Place::Harness, "venv");
}

#[test]
fn a_virtual_environment_is_honoured_in_a_process_of_its_own() {
    in_venvs(Place::Own, "own-venv");
}

#[test]
fn what_is_printed_after_the_unload_goes_to_the_process() {
    for place in [Place::Harness, Place::Own] {
        for text in all(place, "print_unloaded") {
            assert!(text.contains("printed after the unload\n"), "{text}");
        }
    }
}

#[test]
fn the_locale_c_means_utf8_as_for_python_itself() {
    for place in [Place::Harness, Place::Own] {
        for (version, python) in fit(place) {
            one(place, "process", version, python, &[("LC_ALL", "C"), ("LANG", "C")]);
        }
    }
}

#[test]
fn no_environment_has_python_take_the_hosts_signals() {
    for (version, python) in fit(Place::Harness) {
        for name in ["PYTHONFAULTHANDLER", "PYTHONDEVMODE"] {
            one(Place::Harness, "no_fault_handler", version, python, &[(name, "1")]);
        }
    }
}

#[test]
fn a_process_of_its_own_is_finalised_as_any_python() {
    for text in all(Place::Own, "own_exit") {
        assert!(text.ends_with("passed own_exit\natexit ran\nfinalised\n"), "{text}");
    }
}

#[test]
fn a_signal_handler_may_end_a_process_of_its_own() {
    for (version, python) in fit(Place::Own) {
        let output = watched(version, &mut command(Place::Own, "own_exit_by_signal", python));
        let text = String::from_utf8_lossy(&output.stdout);
        let ends = output.status.code() == Some(7) && text == "atexit ran\nfinalised\n";
        assert!(ends, "{version}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
}

/// Runs the bootstrap, which must fail with one line; answers that.
fn refused(what: &str, command: &mut Command) -> String {
    let output = watched(what, command);
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(
        output.status.code() == Some(1) && text.lines().count() == 1,
        "{what}: {}\n{text}",
        output.status
    );
    text
}

/// The command of the bootstrap after `before`, which is Python, has run in its process.
fn bootstrap_after(python: &Path, before: &str) -> Command {
    let script = format!(
        "import runpy, sys\n{before}\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    );
    let mut command = Command::new(python);
    command.args(["-c", &script, BOOTSTRAP]).arg(example("libprocess.so"));
    command
}

#[test]
fn the_bootstrap_refuses_what_will_not_do_in_one_line() {
    let version = "is not CPython 3.9 to 3.14: name another with the option `python` or `venv`\n";
    let cases = [
        ("sys.version_info = (3, 8, 18, 'final', 0)", version),
        ("sys.version_info = (3, 15, 0, 'final', 0)", version),
        ("sys.version_info = (4, 9, 0, 'final', 0)", version),
        ("sys.implementation.name = 'pypy'", "is not CPython: name a CPython 3.9 to 3.14"),
        ("sys.modules['ctypes'] = None", "has no ctypes"),
        ("sys.argv[2] = '/nowhere/library.so'", "cannot load the library of Polyloop: /nowhere"),
        ("sys.argv[2] = '/proc/self/exe'", "cannot load the library of Polyloop"),
        ("del sys.argv[2]", "was not told one library"),
    ];
    for (found, python) in fit(Place::Own) {
        for (before, expected) in cases {
            let line = refused(found, &mut bootstrap_after(python, before));
            assert!(line.starts_with(&*python.to_string_lossy()) || line.contains("(cpython "), "{line}");
            assert!(line.contains(expected), "{found}, {before}: {line}");
        }
    }
}

/// Whichever are there; the versions above are what every machine can try.
#[test]
fn the_bootstrap_is_understood_by_interpreters_that_are_too_old() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["python2", "python2.7", "python3.6", "python3.7", "python3.8"];
    let mut old: Vec<PathBuf> = names.iter().flat_map(|name| pyenv(name)).collect();
    old.extend(std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))));
    old.retain(|path| path.is_file() && !path.to_string_lossy().contains("/shims/"));
    eprintln!("old interpreters: {old:?}");
    for python in old {
        let line = refused("an old interpreter", Command::new(&python).arg(BOOTSTRAP).arg("/nowhere.so"));
        assert!(line.contains("is not CPython 3.9 to 3.14: name another"), "{line}");
    }
}
