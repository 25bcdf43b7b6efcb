// SPDX-License-Identifier: Apache-2.0
//! A guest's life: start, serve on the polling threads, join.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use polyloop_abi::{
    ABI_VERSION, Bytes, FLAG_EMPTY, Host, KIND_CALL, METHOD_RAW, RuntimeHandle, StartInfo, Task,
};
use serde_json::json;

use crate::error::Failure;
use crate::executor::{self, Executor};
use crate::method::{Method, UNKNOWN};
use crate::runtime::{Handle, Runtime, Use};
use crate::signature::Signature;
use crate::stack;
use crate::task::call::Call;
use crate::task::panics;
use crate::values::arguments::{self, Parameters};
use crate::values::bytes::Source;
use crate::values::codec::Codec;

/// Polling threads if the host leaves their number to the guest.
const THREADS: u32 = 4;

/// A module of functions: a static that `#[polyloop::guest]` makes.
pub struct Guest {
    /// `init`, or nothing.
    pub inits: &'static [Init],
    /// The functions, by method number.
    pub methods: &'static [Method],
}

/// The function that runs once.
pub struct Init {
    /// What the function is called with.
    pub signature: Signature,
    /// Runs the function.
    pub entry: fn(&Setup<'_>) -> Result<(), Failure>,
}

/// What `init` is called with.
pub struct Setup<'a> {
    config: &'a [u8],
    signature: &'a Signature,
    executor: Option<&'a Handle>,
}

impl<'a> Setup<'a> {
    /// Decodes the config, if `init` takes it.
    ///
    /// # Errors
    /// If the config does not fit.
    pub fn arguments<P: Parameters<'a>>(&self, parameters: P) -> Result<P::Values, Failure> {
        // A guest that takes no config may be given one all the same: its hosts may share their
        // options.
        let unwanted = self.config.is_empty() || self.signature.parameters.is_empty();
        let flags = if unwanted { FLAG_EMPTY } else { 0 };
        arguments::decode((Codec::Json, flags, self.config), self.signature, parameters)
    }

    /// The config belongs to no task.
    pub fn source(&self) -> Source<'a> {
        Source::NOWHERE
    }

    /// Where an async `init` runs.
    pub fn executor(&self) -> Option<&Handle> {
        self.executor
    }
}

/// What `start` hands to `join`.
struct Started {
    runtime: Arc<Runtime>,
    executor: Option<Executor>,
    threads: Vec<JoinHandle<()>>,
}

/// `polyloop_guest_start` of a guest.
///
/// # Safety
/// The arguments are what the ABI says.
pub unsafe fn start(
    guest: &'static Guest,
    host: *const Host,
    handle: RuntimeHandle,
    info: *const StartInfo,
    out: *mut *mut c_void,
) -> i32 {
    panics::install();
    // SAFETY: the caller's word.
    let (host_ref, info) = unsafe { (&*host, &*info) };
    let begun = panics::catch(|| {
        same_abi(host_ref, info)?;
        // SAFETY: the caller's word; both are valid during this function.
        let (codec, config) = unsafe { (text(info.codec), text(info.config)) };
        let codec = Codec::named(codec).map_err(Failure::invalid_argument)?;
        // SAFETY: the caller's word.
        let runtime = unsafe { Runtime::new(host, handle, codec) };
        begin(guest, runtime, config, info.threads)
    });
    match begun.flatten() {
        Ok(started) => {
            // SAFETY: `out` is where the host wants the guest.
            unsafe { out.write(Box::into_raw(Box::new(started)).cast()) };
            0
        }
        Err(failure) => {
            let object = failure.to_json();
            // SAFETY: the host's own function and handle; every version of the table has the
            // function.
            unsafe { (host_ref.fail)(handle, Bytes { data: object.as_ptr(), len: object.len() }) };
            failure.rc()
        }
    }
}

/// `polyloop_guest_join` of a guest.
///
/// # Safety
/// `guest` comes from [`start`], and is not used again.
pub unsafe fn join(guest: *mut c_void) {
    // SAFETY: the caller's word.
    let started = unsafe { Box::from_raw(guest.cast::<Started>()) };
    started.end();
}

fn same_abi(host: &Host, info: &StartInfo) -> Result<(), Failure> {
    let sizes = host.size as usize >= size_of::<Host>() && info.size as usize >= size_of::<StartInfo>();
    if host.abi == ABI_VERSION && sizes {
        return Ok(());
    }
    Err(Failure::invalid_argument(format!(
        "this guest was built for version {ABI_VERSION} of Polyloop's ABI, and the host has version {}: \
         build the guest with the crate `polyloop` of the host's release",
        host.abi
    )))
}

/// # Safety
/// `bytes` are valid for `'a`.
unsafe fn text<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.len == 0 {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }
}

fn begin(
    guest: &'static Guest,
    runtime: Arc<Runtime>,
    config: &[u8],
    threads: u32,
) -> Result<Started, Failure> {
    let mut started = Started { runtime, executor: None, threads: Vec::new() };
    let outcome =
        panics::catch(|| started.begin(guest, config, if threads == 0 { THREADS } else { threads }));
    match outcome.flatten() {
        Ok(()) => Ok(started),
        Err(failure) => {
            started.end();
            Err(failure)
        }
    }
}

impl Started {
    fn begin(&mut self, guest: &'static Guest, config: &[u8], threads: u32) -> Result<(), Failure> {
        if guest.is_async() {
            self.executor = Some(executor::start(&self.runtime)?);
        }
        self.init(guest, config)?;
        self.runtime.ready(&guest.manifest());
        for index in 0..threads {
            let runtime = Arc::clone(&self.runtime);
            let thread = thread::Builder::new().name(format!("polyloop-{index}")).stack_size(stack::size());
            match thread.spawn(move || serve(guest, &runtime)) {
                Ok(handle) => self.threads.push(handle),
                // Fewer threads are a slower guest; none are no guest.
                Err(_) if index > 0 => break,
                Err(error) => return Err(Failure::of(&error, Some("io::Error"))),
            }
        }
        Ok(())
    }

    fn init(&self, guest: &'static Guest, config: &[u8]) -> Result<(), Failure> {
        let Some(init) = guest.inits.first() else { return Ok(()) };
        let executor = self.runtime.executor.get();
        Runtime::adopt_thread(&Arc::downgrade(&self.runtime));
        // An async init enters by itself: `block_on` does not work within.
        let _entered = if init.signature.is_async { None } else { executor::enter(executor) };
        (init.entry)(&Setup { config, signature: &init.signature, executor })
    }

    /// The polling threads end when the host says so; then calls in flight, then what else uses the
    /// runtime.
    fn end(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
        self.runtime.wait_for(Use::Call);
        executor::stop(self.executor);
        self.runtime.close();
    }
}

impl Guest {
    fn is_async(&self) -> bool {
        self.methods.iter().any(|method| method.signature.is_async)
            || self.inits.iter().any(|init| init.signature.is_async)
    }

    fn manifest(&self) -> Vec<u8> {
        let methods =
            self.methods.iter().map(|method| method.signature.entry_of_manifest()).collect::<Vec<_>>();
        json!({"methods": methods, "info": {"language": "rust"}, "envelope": 1}).to_string().into_bytes()
    }

    /// `None` for a number that the manifest does not have.
    fn method(&'static self, task: &Task) -> &'static Method {
        if task.kind != KIND_CALL {
            return &UNKNOWN;
        }
        if task.method == METHOD_RAW {
            return self.methods.iter().find(|method| method.signature.name == "handle").unwrap_or(&UNKNOWN);
        }
        self.methods.get(usize::from(task.method)).unwrap_or(&UNKNOWN)
    }
}

fn serve(guest: &'static Guest, runtime: &Arc<Runtime>) {
    Runtime::adopt_thread(&Arc::downgrade(runtime));
    let _entered = executor::enter(runtime.executor.get());
    let mut task = MaybeUninit::uninit();
    while runtime.take(&mut task) {
        // SAFETY: `take` wrote the task.
        let task = unsafe { task.assume_init_ref() };
        let method = guest.method(task);
        // SAFETY: the task was just taken, and no other call is made of it.
        (method.entry)(unsafe { Call::new(runtime, task, &method.signature) });
    }
}
