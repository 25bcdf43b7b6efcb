// SPDX-License-Identifier: Apache-2.0
//! What is known about the interpreter, from `probe.py` mostly, and whether it will do.

use crate::failure::Failure;
use serde::Deserialize;

/// The `loader` option of the start: which module, in which interpreter.
#[derive(Deserialize)]
pub struct Loader {
    pub module: Option<String>,
    pub file: Option<String>,
    /// Whether the guest's is the interpreter that this process runs already; then there is no
    /// probe.
    #[serde(default)]
    running: bool,
    probe: Option<Probe>,
}

/// What `probe.py` says of an interpreter; what it says beyond these is not needed here.
#[derive(Deserialize)]
pub struct Probe {
    pub implementation: String,
    pub version: String,
    pub version_info: Vec<u32>,
    pub executable: String,
    pub prefix: String,
    /// Shared libpythons that exist, the likeliest first.
    pub libpython: Vec<String>,
    pub gil: bool,
    /// A build whose objects have other layouts.
    pub trace_refs: bool,
    pub bits: u32,
}

impl Loader {
    /// Reads the `loader` option.
    pub fn parse(json: &[u8]) -> Result<Self, Failure> {
        let loader: Self = serde_json::from_slice(json).map_err(|error| {
            let message = format!("the loader option is not what the Python loader needs: {error}");
            Failure::new("ValueError", message)
        })?;
        if loader.module.is_some() == loader.file.is_some() {
            return Err(Failure::new("ValueError", "the loader option needs a module or a file"));
        }
        match &loader.probe {
            _ if loader.running => {}
            Some(probe) => probe.check()?,
            None => return Err(Failure::new("ValueError", "the loader option needs a probe, or running")),
        }
        Ok(loader)
    }

    /// The interpreter to open; none for the one that this process runs already.
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref().filter(|_| !self.running)
    }
}

impl Probe {
    fn check(&self) -> Result<(), Failure> {
        self.check_build()?;
        if self.libpython.is_empty() {
            return self.refuse(
                "has no shared libpython to load: install it (Debian: libpython3.x; pyenv: build with \
                 PYTHON_CONFIGURE_OPTS=--enable-shared), or name another interpreter",
            );
        }
        Ok(())
    }

    /// Whether the loader knows this version, and what its objects look like.
    pub fn check_build(&self) -> Result<(), Failure> {
        if self.implementation != "cpython" {
            return self.refuse("is not CPython: name a CPython 3.9 to 3.14 with the option `python`");
        }
        if !matches!(self.version_info.as_slice(), [3, 9..=14, ..]) {
            return self
                .refuse("is not CPython 3.9 to 3.14: name another with the option `python` or `venv`");
        }
        if !self.gil {
            return self.refuse("is a free-threaded build: name one with the GIL");
        }
        if self.trace_refs || self.bits != usize::BITS {
            return self.refuse("is a build with other object layouts: name a release build of this machine");
        }
        Ok(())
    }

    fn refuse(&self, why: &str) -> Result<(), Failure> {
        let Self { executable, implementation, version, .. } = self;
        Err(Failure::new("RuntimeError", format!("{executable} ({implementation} {version}) {why}")))
    }
}
