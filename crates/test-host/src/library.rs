// SPDX-License-Identifier: Apache-2.0
//! The functions that a guest exports.

use std::{
    ffi::{CStr, CString, c_void},
    path::Path,
    ptr,
};

use polyloop_abi::{
    BEAT_SYMBOL, Beat, Bytes, Host, JOIN_SYMBOL, Join, RuntimeHandle, START_SYMBOL, Start, StartInfo,
};

/// A guest that can be started.
#[derive(Clone, Copy)]
pub struct Library {
    start: Start,
    join: Join,
    beat: Option<Beat>,
}

impl Library {
    /// The guest that these functions are of.
    ///
    /// # Safety
    /// They are, as the ABI has them.
    pub const unsafe fn of(start: Start, join: Join) -> Self {
        Self { start, join, beat: None }
    }

    /// Opens a guest, which stays loaded, as a host keeps it.
    ///
    /// # Errors
    /// Which function the library does not export.
    ///
    /// # Panics
    /// If the library cannot be loaded.
    pub fn open(path: &Path) -> Result<Self, String> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
        // SAFETY: tests open guests, which are fit to be loaded into this process.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        // SAFETY: an error was just made; its text is copied.
        assert!(!library.is_null(), "{}", unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy());
        let symbol = |name: &str| {
            let name = CString::new(name).expect("a name");
            // SAFETY: a library that is open, and a name.
            unsafe { libc::dlsym(library, name.as_ptr()) }
        };
        let [start, join, beat] = [START_SYMBOL, JOIN_SYMBOL, BEAT_SYMBOL].map(symbol);
        if let Some(missing) =
            [(START_SYMBOL, start), (JOIN_SYMBOL, join)].iter().find(|(_, address)| address.is_null())
        {
            return Err(missing.0.to_owned());
        }
        // SAFETY: a guest exports these with these types.
        Ok(unsafe {
            Self {
                start: std::mem::transmute::<*mut c_void, Start>(start),
                join: std::mem::transmute::<*mut c_void, Join>(join),
                beat: (!beat.is_null()).then(|| std::mem::transmute::<*mut c_void, Beat>(beat)),
            }
        })
    }

    /// Starts the guest, on a thread of its own as hosts do: its rc, and what it gave for `join`.
    ///
    /// # Panics
    /// If the start does.
    ///
    /// # Safety
    /// `host` and `handle` fit each other, and live until the guest is joined, and as long as the
    /// guest uses them after that.
    pub unsafe fn start(
        &self,
        host: &'static Host,
        handle: usize,
        threads: u32,
        [config, codec, loader]: [&str; 3],
    ) -> (i32, usize) {
        let text = |text: &str| Bytes { data: text.as_ptr(), len: text.len() };
        let start = self.start;
        std::thread::scope(|scope| {
            let started = scope.spawn(move || {
                let info = StartInfo {
                    size: size_of::<StartInfo>() as u32,
                    threads,
                    config: text(config),
                    codec: text(codec),
                    loader: text(loader),
                };
                let mut guest = ptr::null_mut();
                // SAFETY: as the ABI says, and the caller.
                let rc = unsafe { start(host, handle as RuntimeHandle, &raw const info, &raw mut guest) };
                (rc, guest as usize)
            });
            started.join().expect("the start returns")
        })
    }

    /// Waits for a guest to end.
    ///
    /// # Safety
    /// A start of this library gave `guest`, and nothing was done with it since.
    pub unsafe fn join(&self, guest: usize) {
        // SAFETY: the caller's word.
        unsafe { (self.join)(guest as *mut c_void) };
    }

    /// Waits until a guest is able to run code.
    ///
    /// # Panics
    /// If the guest has no heartbeat.
    ///
    /// # Safety
    /// As for [`Library::join`], which does not begin before this returns.
    pub unsafe fn beat(&self, guest: usize) {
        let beat = self.beat.expect("the guest has a heartbeat");
        // SAFETY: the caller's word.
        unsafe { beat(guest as *mut c_void) };
    }
}
