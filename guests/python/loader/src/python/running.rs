// SPDX-License-Identifier: Apache-2.0
//! The interpreter that this process runs already: a guest in a process of its own is loaded by
//! Python itself, which may be linked to a libpython or be one.

use crate::failure::Failure;
use crate::kit;
use crate::python::api::{Api, EVAL_INPUT, FILE_INPUT};
use crate::python::object::{Gil, attached};
use crate::python::probe::Probe;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::transmute;

/// If an executable is Python itself, or has its libpython loaded, the whole process sees the
/// symbols.
const PROCESS: *mut c_void = libc::RTLD_DEFAULT;

/// The API of the running interpreter, which will do, what it says of itself, and an address within
/// it.
pub fn adopt() -> Result<(&'static Api, Probe, *mut c_void), Failure> {
    let (version, address) = version()?;
    let seen = Probe::of_version(&version, &executable());
    seen.check_build()?;
    // SAFETY: the process's own libpython, as its version said.
    let api = unsafe { Api::load(PROCESS) }.map_err(|name| {
        let message = format!("{} (CPython {}): it has no {name}", seen.executable, seen.version);
        Failure::new("RuntimeError", message)
    })?;
    let api = api.install();
    let probe = attached(api, |gil| ask(gil).ok_or_else(|| kit::failure(gil)))?;
    probe.check_build()?;
    Ok((api, probe, address))
}

/// What `Py_GetVersion` says if Python runs, and where that function lies.
fn version() -> Result<(String, *mut c_void), Failure> {
    let none = |why: &str| {
        let message =
            format!("{} {why}: start the guest's process with an ordinary CPython 3.9 to 3.14", executable());
        Failure::new("RuntimeError", message)
    };
    // SAFETY: C strings, and a pseudo handle that needs no opening.
    let [version, initialised] =
        [c"Py_GetVersion", c"Py_IsInitialized"].map(|name| unsafe { libc::dlsym(PROCESS, name.as_ptr()) });
    if version.is_null() || initialised.is_null() {
        return Err(none("is no CPython, or one that hides its functions"));
    }
    // SAFETY: the functions have these types, and may be called at any time.
    unsafe {
        let is_initialised = transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(initialised);
        if is_initialised() == 0 {
            return Err(none("has not initialised its CPython"));
        }
        let get = transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(version);
        Ok((CStr::from_ptr(get()).to_string_lossy().into_owned(), version))
    }
}

fn executable() -> String {
    std::env::current_exe().map_or_else(|_| "this process".to_owned(), |path| path.display().to_string())
}

impl Probe {
    /// As much as `Py_GetVersion` tells, by which it can be told whether the rest may be asked.
    fn of_version(text: &str, executable: &str) -> Self {
        let version = text.split(' ').next().unwrap_or_default();
        Self {
            implementation: "cpython".to_owned(),
            version: version.to_owned(),
            version_info: version.split('.').map_while(|part| part.parse().ok()).collect(),
            executable: executable.to_owned(),
            prefix: String::new(),
            libpython: Vec::new(),
            gil: !text.contains("free-threading"),
            trace_refs: false,
            bits: usize::BITS,
        }
    }
}

/// What `probe.py` says, run in the interpreter itself.
fn ask(gil: Gil) -> Option<Probe> {
    let source = CString::new(kit::PROBE).ok()?;
    let globals = gil.globals()?;
    // An absolute path: the working directory, which may be gone, is not asked for.
    for (key, value) in [(c"__name__", "polyloop_probe"), (c"__file__", "/polyloop/probe.py")] {
        // SAFETY: with the GIL; a dict and a C string.
        unsafe { (gil.api.PyDict_SetItemString)(globals.ptr(), key.as_ptr(), gil.text(value)?.ptr()) };
    }
    let name = c"<polyloop>/probe.py";
    gil.run(&source, name, FILE_INPUT, &globals)?;
    let line = gil.run(c"json.dumps(probe())", name, EVAL_INPUT, &globals)?;
    serde_json::from_slice(gil.utf8(&line)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Option<String> {
        Probe::of_version(text, "/bin/python").check_build().err().map(|failure| failure.json)
    }

    #[test]
    fn versions_that_will_do_are_taken() {
        for version in ["3.9.18 (main, Jan 1 2024)", "3.14.0rc2 (main)", "3.11.2+ (heads/3.11:abc)"] {
            assert_eq!(refusal(version), None, "{version}");
        }
    }

    #[test]
    fn other_versions_are_refused_with_what_to_do() {
        for version in ["2.7.18 (default)", "3.8.18 (default)", "3.15.0a1 (main)", "nonsense"] {
            let message = refusal(version).expect("refused");
            assert!(message.contains("is not CPython 3.9 to 3.14: name another"), "{message}");
        }
        for version in ["3.13.0 experimental free-threading build (main)", "3.14.0 free-threading build"] {
            assert!(refusal(version).expect("refused").contains("name one with the GIL"), "{version}");
        }
    }

    #[test]
    fn a_process_that_is_no_python_is_refused() {
        let message = adopt().err().expect("a test runs no Python").json;
        assert!(message.contains("is no CPython, or one that hides its functions"), "{message}");
    }
}
