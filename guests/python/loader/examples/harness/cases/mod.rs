// SPDX-License-Identifier: Apache-2.0
//! What must hold with every interpreter; each case runs in a process of its own.

mod beat;
mod calls;
mod cancel;
mod errors;
mod load;
mod output;
mod running;
mod runtimes;
mod shared;
mod streams;
mod views;

use crate::host::{Load, Runtime};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// The interpreter at hand.
pub struct Env {
    pub python: String,
    pub probe: Value,
    /// This process is that interpreter, and not one that opens it.
    pub running: bool,
}

pub type Case = (&'static str, fn(&Env));

pub fn find(name: &str) -> Option<fn(&Env)> {
    let groups = [
        beat::ALL,
        calls::ALL,
        cancel::ALL,
        errors::ALL,
        load::ALL,
        output::ALL,
        running::ALL,
        runtimes::ALL,
        shared::ALL,
        streams::ALL,
        views::ALL,
    ];
    groups.iter().copied().flatten().find(|(case, _)| *case == name).map(|(_, run)| *run)
}

impl Env {
    pub fn new(python: &str, running: bool) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/probe.py");
        let output = Command::new(python).arg(script).output().expect("the interpreter runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let probe = serde_json::from_slice(&output.stdout).expect("the probe prints JSON");
        Self { python: python.to_owned(), probe, running }
    }

    /// The loader option for a file.
    pub fn file(&self, path: &str) -> Value {
        self.option(json!({ "module": null, "file": path }))
    }

    /// The loader option for a module.
    pub fn module(&self, name: &str) -> Value {
        self.option(json!({ "module": name, "file": null }))
    }

    fn option(&self, mut option: Value) -> Value {
        if self.running {
            option["running"] = json!(true);
        } else {
            option["probe"] = self.probe.clone();
        }
        option
    }

    pub fn load(&self, name: &str) -> Runtime {
        self.try_load(name, "", "json").unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn try_load(&self, name: &str, config: &str, codec: &str) -> Result<Runtime, Value> {
        let loader = self.file(&fixture(name));
        Runtime::load(&Load { loader, config, codec, threads: 0 })
    }

    /// Writes a guest into a fresh folder and loads it.
    pub fn write_and_load(&self, source: &str) -> Result<Runtime, Value> {
        let folder = scratch("guest");
        let path = format!("{folder}/written.py");
        std::fs::write(&path, source).expect("the guest is written");
        Runtime::load(&Load { loader: self.file(&path), config: "", codec: "json", threads: 0 })
    }
}

/// The path of a test guest.
pub fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../conformance/fixtures/python");
    let folder = std::fs::canonicalize(folder).expect("the fixtures are there");
    folder.join(name).display().to_string()
}

/// A fresh folder, until `clean`.
pub fn scratch(name: &str) -> String {
    let folder = scratch_root().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::canonicalize(folder).expect("the folder").display().to_string()
}

fn scratch_root() -> PathBuf {
    std::env::temp_dir().join(format!("polyloop-harness-{}", std::process::id()))
}

/// Removes what the case wrote.
pub fn clean() {
    let _ = std::fs::remove_dir_all(scratch_root());
}

/// Whether the text of `value` holds `part`; what it is otherwise, for the failed assertion.
pub fn assert_has(value: &Value, part: &str) {
    let text = value.as_str().unwrap_or_else(|| panic!("not text: {value}"));
    assert!(text.contains(part), "{text:?} does not hold {part:?}");
}
