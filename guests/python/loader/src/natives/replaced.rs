// SPDX-License-Identifier: Apache-2.0
//! Libraries of which the host's process has two: the one that Python's extension modules were
//! built with, and one of the host's, whose functions they find first and call.

use crate::natives::entry::Functions;
use crate::python::api::{Api, Ptr};
use crate::python::object::{Gil, Ref};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::ptr;

pub const FUNCTIONS: Functions = &[(c"replaced", replaced)];

/// Files that a library may be, and how it tells its version.
struct Twin {
    name: &'static str,
    files: &'static [&'static CStr],
    function: &'static CStr,
}

const TWINS: [Twin; 2] = [
    Twin { name: "OpenSSL", files: &[c"libcrypto.so.3", c"libcrypto.so.1.1"], function: c"OpenSSL_version" },
    Twin { name: "zlib", files: &[c"libz.so.1"], function: c"zlibVersion" },
];

/// `replaced() -> str`: JSON, `[name, version of Python's, version of the host's]` of each library
/// that is loaded and replaced.
unsafe extern "C" fn replaced(_: Ptr, _: *const Ptr, _: isize) -> Ptr {
    let Some(api) = Api::get() else { return ptr::null_mut() };
    // SAFETY: Python calls native functions with the GIL.
    let gil = unsafe { Gil::assume(api) };
    let found: Vec<_> = TWINS.iter().filter_map(Twin::versions).collect();
    let text = serde_json::to_string(&found).unwrap_or_default();
    gil.text(&text).map_or(ptr::null_mut(), Ref::into_ptr)
}

impl Twin {
    fn versions(&self) -> Option<(&'static str, String, String)> {
        // SAFETY: a C string, and a pseudo handle that needs no opening.
        let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, self.function.as_ptr()) };
        let own = self.files.iter().find_map(|file| loaded(file, self.function))?;
        (!first.is_null() && first != own).then(|| (self.name, version(own), version(first)))
    }
}

/// Where a library has a function, if it is loaded.
fn loaded(file: &CStr, function: &CStr) -> Option<*mut c_void> {
    // SAFETY: C strings; nothing is loaded, and what was loaded before stays so when it is closed
    // as often as it was opened.
    let address = unsafe {
        let handle = libc::dlopen(file.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if handle.is_null() {
            return None;
        }
        let address = libc::dlsym(handle, function.as_ptr());
        libc::dlclose(handle);
        address
    };
    (!address.is_null()).then_some(address)
}

fn version(function: *mut c_void) -> String {
    // SAFETY: `OpenSSL_version` takes a number, of which 0 asks for the version, and `zlibVersion`
    // nothing, which does not look at what it is given. Both may be called at any time, and
    // return a C string that stays.
    let text = unsafe {
        let tell = transmute::<*mut c_void, unsafe extern "C" fn(c_int) -> *const c_char>(function);
        CStr::from_ptr(tell(0))
    };
    text.to_string_lossy().into_owned()
}
