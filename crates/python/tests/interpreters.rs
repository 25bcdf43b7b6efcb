// SPDX-License-Identifier: Apache-2.0
//! Every case with every CPython 3.9 to 3.14 that has a shared libpython and can be found:
//! `POLYLOOP_PYTHONS` (paths separated by colons), pyenv's versions, and `python3.N` of PATH.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(2);

/// One interpreter of each version, by version.
fn interpreters() -> &'static BTreeMap<String, PathBuf> {
    static FOUND: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = BTreeMap::new();
        for python in candidates() {
            if let Some(version) = usable(&python) {
                found.entry(version).or_insert(python);
            }
        }
        assert!(!found.is_empty(), "no CPython 3.9 to 3.14 with a shared libpython: set POLYLOOP_PYTHONS");
        eprintln!("interpreters: {found:?}");
        found
    })
}

fn candidates() -> Vec<PathBuf> {
    let named = std::env::var("POLYLOOP_PYTHONS").unwrap_or_default();
    let mut candidates: Vec<PathBuf> =
        named.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    if let Ok(root) = Command::new("pyenv").arg("root").stderr(Stdio::null()).output() {
        let versions = Path::new(String::from_utf8_lossy(&root.stdout).trim()).join("versions");
        let folders = std::fs::read_dir(versions).into_iter().flatten().flatten();
        candidates.extend(folders.map(|folder| folder.path().join("bin/python")));
    }
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        candidates.extend((9..=14).map(|minor| folder.join(format!("python3.{minor}"))));
    }
    candidates.retain(|path| path.is_file() && !path.to_string_lossy().contains("/shims/"));
    candidates
}

fn usable(python: &Path) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/python/polyloop/_probe.py");
    let output = Command::new(python).arg(script).stderr(Stdio::null()).output().ok()?;
    let probe: Value = serde_json::from_slice(&output.stdout).ok()?;
    let minor = probe["version_info"][1].as_u64()?;
    let fits = probe["version_info"][0] == 3 && (9..=14).contains(&minor) && probe["gil"] == true;
    (fits && !probe["libpython"].as_array()?.is_empty()).then(|| format!("3.{minor:02} {}", probe["version"]))
}

fn harness() -> PathBuf {
    let mut folder = std::env::current_exe().expect("own path");
    folder.pop();
    folder.pop();
    folder.join("examples/harness")
}

/// Runs a case with each interpreter, in children that a watchdog ends; answers what they printed.
fn all(case: &str) -> Vec<String> {
    interpreters().iter().map(|(version, python)| one(case, version, python, &[])).collect()
}

fn one(case: &str, version: &str, python: &Path, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(harness())
        .arg(python)
        .arg(case)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the harness runs");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("wait").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("kill");
            let output = child.wait_with_output().expect("output");
            panic!("{case} hangs with {version}: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("output");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = output.status.success() && text.contains(&format!("passed {case}"));
    assert!(
        passed,
        "{case} with {version}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

macro_rules! cases {
    ($($test:ident: $case:literal;)*) => {
        $(#[test]
        fn $test() {
            all($case);
        })*
    };
}

cases! {
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
    a_virtual_environment_is_honoured: "venv";
    child_processes_and_signals_are_as_without_polyloop: "process";
    an_interpreter_that_will_not_do_is_refused: "refusals";
    what_is_printed_reaches_the_host: "print";
    lines_stay_whole: "print_whole_lines";
    logging_reaches_the_runtime_that_logs: "logging";
    runtimes_of_one_process_do_not_mix: "two_runtimes";
    runtimes_may_come_and_go_at_once: "many_at_once";
    calls_in_flight_finish_before_an_unload: "unload_in_flight";
    a_guest_that_stops_its_loop_is_reported_and_nothing_hangs: "crash";
    calls_of_all_kinds_at_once_are_answered_each_by_its_own: "stress";
    a_process_may_exit_with_calls_in_flight: "exit";
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
}

#[test]
fn what_is_printed_after_the_unload_goes_to_the_process() {
    for text in all("print_unloaded") {
        assert!(text.contains("printed after the unload\n"), "{text}");
    }
}

#[test]
fn the_locale_c_means_utf8_as_for_python_itself() {
    for (version, python) in interpreters() {
        one("process", version, python, &[("LC_ALL", "C"), ("LANG", "C")]);
    }
}
