// SPDX-License-Identifier: Apache-2.0
//! The Python sources of the kit, which the loader carries, and their way into the interpreter.

use crate::failure::Failure;
use crate::natives::table;
use crate::python::api::FILE_INPUT;
use crate::python::object::{Gil, Ref};
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

macro_rules! source {
    ($name:literal) => {
        ($name, include_str!(concat!("../../kit/polyloop/", $name, ".py")))
    };
}

const SOURCES: [(&str, &str); 16] = [
    source!("__init__"),
    source!("_aio"),
    source!("_call"),
    source!("_envelope"),
    source!("_errors"),
    source!("_fork"),
    source!("_guest"),
    source!("_kinds"),
    source!("_module"),
    source!("_output"),
    source!("_shared"),
    source!("_siblings"),
    source!("_stream"),
    source!("_threads"),
    source!("_trace"),
    source!("_values"),
];
/// For the interpreter that runs already.
pub const PROBE: &str = include_str!("../../programs/probe.py");
const BOOTSTRAP: &str = include_str!("bootstrap.py");

/// The namespace of the bootstrap, once it has run.
static KIT: OnceLock<Ref> = OnceLock::new();

/// Makes the package `polyloop` importable and imports it, once; no two threads may do it at once.
pub fn install(gil: Gil, loader: &[u8]) -> Result<(), Failure> {
    if KIT.get().is_some() {
        return Ok(());
    }
    let kit = bootstrap(gil, loader).ok_or_else(|| last_resort(gil))?;
    let _ = KIT.set(kit);
    Ok(())
}

fn bootstrap(gil: Gil, loader: &[u8]) -> Option<Ref> {
    let source = CString::new(BOOTSTRAP).ok()?;
    // SAFETY: with the GIL; C strings; dicts made here.
    unsafe {
        let globals = gil.globals()?;
        let sources = gil.own((gil.api.PyDict_New)())?;
        for (name, text) in SOURCES {
            let name = CString::new(name).ok()?;
            (gil.api.PyDict_SetItemString)(sources.ptr(), name.as_ptr(), gil.text(text)?.ptr());
        }
        let loader = gil.text(&String::from_utf8_lossy(loader))?;
        let set = |name: &CStr, value| (gil.api.PyDict_SetItemString)(globals.ptr(), name.as_ptr(), value);
        set(c"SOURCES", sources.ptr());
        set(c"LOADER", loader.ptr());
        set(c"NATIVE", table::functions(gil)?.ptr());
        gil.run(&source, c"<polyloop>/bootstrap.py", FILE_INPUT, &globals)?;
        let guest = (gil.api.PyDict_GetItemString)(globals.ptr(), c"guest".as_ptr());
        (!guest.is_null()).then(|| gil.share(guest))
    }
}

/// A function of the kit's module `_guest`.
pub fn function(gil: Gil, name: &CStr) -> Option<Ref> {
    gil.attribute(KIT.get()?.ptr(), name)
}

/// The exception that is being raised, as the kit describes it.
pub fn failure(gil: Gil) -> Failure {
    let described = gil.raised().and_then(|error| {
        let describe = function(gil, c"describe")?;
        let text = gil.call(describe.ptr(), &[error.ptr()])?;
        Some(String::from_utf8_lossy(gil.utf8(&text)?).into_owned())
    });
    described.map_or_else(|| last_resort(gil), |json| Failure { json, rc: 1 })
}

/// The failure when the kit itself does not run: the exception's text, without a stack.
fn last_resort(gil: Gil) -> Failure {
    let text = gil.raised().and_then(|error| {
        // SAFETY: alive.
        let text = gil.own(unsafe { (gil.api.PyObject_Str)(error.ptr()) })?;
        Some(String::from_utf8_lossy(gil.utf8(&text)?).into_owned())
    });
    gil.clear();
    let text = text.unwrap_or_else(|| "no exception".to_owned());
    Failure::new("RuntimeError", format!("the Python part of the loader does not run: {text}"))
}
