// SPDX-License-Identifier: Apache-2.0
//! Opens a shared library as a guest.

use std::{
    ffi::c_void,
    path::{Path, PathBuf},
    ptr,
    sync::Arc,
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use polyloop_abi::{
    BEAT_SYMBOL, Beat, Bytes, JOIN_SYMBOL, Join, RuntimeHandle, START_SYMBOL, Start, StartInfo,
};
use polyloop_connection::{ErrorObject, Guest, StartOptions, TaskSource};

use crate::host::host;

struct Opened<S> {
    path: PathBuf,
    start: Start,
    join: Join,
    beat: Option<Beat>,
    source: Option<Arc<S>>,
    guest: *mut c_void,
}

// SAFETY: `guest` is the library's own pointer; the ABI lets `join` be called from any thread.
unsafe impl<S: Send + Sync> Send for Opened<S> {}

/// Opens the guest at `path`.
///
/// Libraries are never closed: threads and thread-local destructors may outlive a runtime.
///
/// # Errors
/// `not-found` if a library cannot be opened, `init-failed` if it is not a guest.
pub fn open<S: TaskSource>(path: &Path) -> Result<Box<dyn Guest<S>>, ErrorObject> {
    let library = keep(path)?;
    let not_a_guest = |symbol: &str| {
        ErrorObject::new(
            "init-failed",
            &format!(
                "{} is not a guest: it does not export {symbol}. Build it with a guest kit, or implement spec/polyloop.h",
                path.display()
            ),
        )
    };
    // SAFETY: the symbols' types are those of the ABI, which `start` checks by its version.
    let start =
        unsafe { library.get::<Start>(START_SYMBOL.as_bytes()) }.map_err(|_| not_a_guest(START_SYMBOL))?;
    // SAFETY: as above.
    let join =
        unsafe { library.get::<Join>(JOIN_SYMBOL.as_bytes()) }.map_err(|_| not_a_guest(JOIN_SYMBOL))?;
    // SAFETY: as above.
    let beat = unsafe { library.get::<Beat>(BEAT_SYMBOL.as_bytes()) }.ok();
    Ok(Box::new(Opened {
        path: path.into(),
        start: *start,
        join: *join,
        beat: beat.map(|beat| *beat),
        source: None,
        guest: ptr::null_mut(),
    }))
}

/// Opens a library for the rest of the process.
fn keep(path: &Path) -> Result<&'static Library, ErrorObject> {
    // SAFETY: its initialisers run; that is what the caller asked for.
    match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) } {
        Ok(library) => Ok(Box::leak(Box::new(library))),
        Err(error) => Err(refusal(path, &error)),
    }
}

fn refusal(path: &Path, error: &libloading::Error) -> ErrorObject {
    // The loader's own words are in the source of libloading's error.
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if path.exists() {
        if is_short_of_files(path) {
            let advice = "close some files, or raise ulimit -n";
            return ErrorObject::new(
                "overloaded",
                &format!("{} cannot be loaded: {reason}; {advice}", path.display()),
            );
        }
        let advice = "is it a shared library for this machine, and are the libraries it needs installed?";
        return ErrorObject::new(
            "init-failed",
            &format!("{} cannot be loaded: {reason}; {advice}", path.display()),
        );
    }
    ErrorObject::new(
        "not-found",
        &format!("there is no library at {}: build it first, or correct the path", path.display()),
    )
}

/// Whether a file cannot be opened because too many are open: `dlopen` tells why in words alone.
fn is_short_of_files(path: &Path) -> bool {
    let refused = std::fs::File::open(path).err().and_then(|error| error.raw_os_error());
    matches!(refused, Some(libc::EMFILE | libc::ENFILE))
}

fn view(text: &str) -> Bytes {
    Bytes { data: text.as_ptr(), len: text.len() }
}

impl<S> Drop for Opened<S> {
    fn drop(&mut self) {
        // A guest that is dropped without a join still has threads that use the source, which lives
        // on.
        std::mem::forget(self.source.take());
    }
}

impl<S: TaskSource> Guest<S> for Opened<S> {
    fn start(&mut self, source: &Arc<S>, options: &StartOptions) -> Result<(), (i32, ErrorObject)> {
        let info = StartInfo {
            size: size_of::<StartInfo>() as u32,
            threads: options.threads,
            config: view(&options.config),
            codec: view(&options.codec),
            loader: view(&options.loader),
        };
        let source = Arc::clone(source);
        let handle: RuntimeHandle = Arc::as_ptr(&source).cast_mut().cast();
        // SAFETY: the table is static, the info lives through the call, and the source is kept
        // until the guest was joined (or for ever if it fails to start and keeps threads).
        let rc =
            unsafe { (self.start)(const { &host::<S>() }, handle, &raw const info, &raw mut self.guest) };
        if rc == 0 {
            self.source = Some(source);
            return Ok(());
        }
        std::mem::forget(source);
        let message = format!("{} failed to start with rc {rc} and gave no reason", self.path.display());
        Err((rc, ErrorObject::new("init-failed", &message)))
    }

    fn beat(&self) -> Option<polyloop_connection::Beat> {
        struct Pulse(Beat, *mut c_void);
        // SAFETY: the ABI lets `beat` be called from any thread.
        unsafe impl Send for Pulse {}
        impl Pulse {
            fn feel(&self) {
                // SAFETY: the guest was started, and is not joined before the beat is over.
                unsafe { (self.0)(self.1) };
            }
        }
        let pulse = Pulse(self.beat?, self.guest);
        Some(Box::new(move || pulse.feel()))
    }

    fn join(mut self: Box<Self>) {
        // SAFETY: start succeeded, and join takes self, so it is called once.
        unsafe { (self.join)(self.guest) };
        drop(self.source.take());
    }
}
