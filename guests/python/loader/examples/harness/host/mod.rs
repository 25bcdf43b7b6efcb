// SPDX-License-Identifier: Apache-2.0
//! A host in memory, for tests: queues instead of rings, and requests that fault once they are over.

mod calls;
mod pages;

use calls::Call;
pub use calls::{MAX_ITEM, Options};
use pages::Page;
use polyloop_abi::{
    ABI_VERSION, BEAT_SYMBOL, Beat, Bytes, FLAG_BYTES, FLAG_EMPTY, FLAG_SPREAD, Host, JOIN_SYMBOL, Join,
    KIND_CALL, RuntimeHandle, START_SYMBOL, STATUS_OK, Start, StartInfo, TAKE_EMPTY, TAKE_STOPPED, TAKE_TASK,
    Task,
};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for anything: a watchdog, not a claim about speed.
const PATIENCE: Duration = Duration::from_mins(5);

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    pages: HashMap<u64, Page>,
    responses: HashMap<u64, Reply>,
    logs: Vec<(u32, String)>,
    manifest: Option<Value>,
    failure: Option<Value>,
    calls: HashMap<u64, Call>,
    next: u64,
    held: usize,
    releases: usize,
    /// Items that the guest gave back itself.
    returned: usize,
    stopped: bool,
}

// SAFETY: the pointers are to mappings, which belong to no thread.
unsafe impl Send for State {}

/// What a task was answered with.
pub type Reply = Result<Output, Value>;

#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Bytes(Vec<u8>),
    Encoded(Vec<u8>),
    Empty,
}

/// What a task is given.
pub enum Input<'a> {
    Bytes(&'a [u8]),
    One(&'a [u8]),
    Spread(&'a [u8]),
    Empty,
}

impl Input<'_> {
    fn parts(&self) -> (u8, &[u8]) {
        match self {
            Input::Bytes(bytes) => (FLAG_BYTES, bytes),
            Input::One(encoded) => (0, encoded),
            Input::Spread(encoded) => (FLAG_SPREAD, encoded),
            Input::Empty => (FLAG_EMPTY, &[]),
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A loaded guest.
pub struct Runtime {
    shared: Arc<Shared>,
    guest: usize,
    pub manifest: Value,
}

/// What to load.
pub struct Load<'a> {
    pub loader: Value,
    pub config: &'a str,
    pub codec: &'a str,
    pub threads: u32,
}

struct Library {
    start: Start,
    join: Join,
    beat: Beat,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    // Not the copy above `deps`: `cargo test` does not renew that one.
    let path = folder().join("../deps/libpolyloop_python.so");
    let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("path");
    // SAFETY: the loader as built, which exports these three with these types.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!handle.is_null(), "{}", CStr::from_ptr(libc::dlerror()).to_string_lossy());
        let symbol = |name: &str| {
            let name = CString::new(name).expect("a name");
            let address = libc::dlsym(handle, name.as_ptr());
            assert!(!address.is_null(), "the loader exports no {}", name.to_string_lossy());
            address
        };
        Library {
            start: std::mem::transmute::<*mut c_void, Start>(symbol(START_SYMBOL)),
            join: std::mem::transmute::<*mut c_void, Join>(symbol(JOIN_SYMBOL)),
            beat: std::mem::transmute::<*mut c_void, Beat>(symbol(BEAT_SYMBOL)),
        }
    }
});

/// Where this code was loaded from, be it the harness or the library of the example `process`.
fn folder() -> PathBuf {
    // SAFETY: all zeros is a value of it, to be written to.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: an address within this object, whose name is a C string.
    let name = unsafe {
        assert_ne!(libc::dladdr(folder as *const c_void, &raw mut info), 0);
        CStr::from_ptr(info.dli_fname)
    };
    let mut folder = PathBuf::from(name.to_string_lossy().into_owned());
    folder.pop();
    folder
}

pub static HOST: Host = Host {
    size: size_of::<Host>() as u32,
    abi: ABI_VERSION,
    take,
    respond,
    hold,
    release,
    ready,
    fail,
    log,
    receive: calls::receive,
    send: calls::send,
    watch: calls::watch,
    cancelled: calls::cancelled,
    annotate: calls::annotate,
};

/// Starts the guest on a thread of its own, as a host does.
///
/// # Safety
/// `host` and `handle` fit each other.
pub unsafe fn start(host: &'static Host, handle: usize, load: &Load) -> (i32, usize) {
    let loader = load.loader.to_string();
    std::thread::scope(|scope| {
        let started = scope.spawn(|| {
            let info = StartInfo {
                size: size_of::<StartInfo>() as u32,
                threads: load.threads,
                config: bytes(load.config.as_bytes()),
                codec: bytes(load.codec.as_bytes()),
                loader: bytes(loader.as_bytes()),
            };
            let mut guest = ptr::null_mut();
            // SAFETY: as the ABI says.
            let rc =
                unsafe { (LIBRARY.start)(host, handle as RuntimeHandle, &raw const info, &raw mut guest) };
            (rc, guest as usize)
        });
        started.join().expect("start")
    })
}

pub fn join(guest: usize) {
    // SAFETY: a guest that was started, joined once.
    unsafe { (LIBRARY.join)(guest as *mut c_void) };
}

impl Runtime {
    pub fn load(load: &Load) -> Result<Self, Value> {
        let shared = Arc::<Shared>::default();
        // SAFETY: the pointer is alive until the guest is joined; leaked, since views may outlive that.
        let (rc, guest) = unsafe { start(&HOST, Arc::into_raw(Arc::clone(&shared)) as usize, load) };
        let mut state = shared.state.lock().expect("state");
        if rc != 0 {
            return Err(state.failure.take().expect("a failed start says why"));
        }
        let manifest = state.manifest.take().expect("a start declares a manifest");
        drop(state);
        Ok(Self { shared, guest, manifest })
    }

    pub fn method(&self, name: &str) -> u16 {
        let methods = self.manifest["methods"].as_array().expect("methods");
        methods.iter().position(|method| method["name"] == name).unwrap_or_else(|| panic!("no {name}")) as u16
    }

    pub fn post(&self, name: &str, input: &Input) -> u64 {
        self.post_number(self.method(name), input)
    }

    pub fn post_number(&self, method: u16, input: &Input) -> u64 {
        self.open_number(method, input, &Options::default())
    }

    /// Posts a call with all that a call may have.
    pub fn open(&self, name: &str, input: &Input, options: &Options) -> u64 {
        self.open_number(self.method(name), input, options)
    }

    fn open_number(&self, method: u16, input: &Input, options: &Options) -> u64 {
        let (flags, payload) = input.parts();
        let mut state = self.shared.state.lock().expect("state");
        let context = Page::new(options.context.as_bytes());
        let (id, data) = state.page(payload, None);
        state.queue.push_back(Task {
            id,
            kind: KIND_CALL,
            flags: flags | options.flags,
            method,
            reserved: 0,
            data,
            len: payload.len() as u64,
            deadline_ns: options.deadline_ns,
            context: if options.context.is_empty() { ptr::null() } else { context.data },
            context_len: options.context.len() as u64,
        });
        state.calls.insert(id, Call::new(options, context));
        self.shared.changed.notify_all();
        id
    }

    /// Waits until `probe` finds what it looks for.
    fn until<T>(&self, what: &str, mut probe: impl FnMut(&mut State) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock().expect("state");
        loop {
            if let Some(found) = probe(&mut state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in {PATIENCE:?}");
            state = self.shared.changed.wait_timeout(state, left).expect("state").0;
        }
    }

    pub fn wait(&self, id: u64) -> Reply {
        self.until("response", |state| state.responses.remove(&id))
    }

    pub fn is_answered(&self, id: u64) -> bool {
        self.shared.state.lock().expect("state").responses.contains_key(&id)
    }

    pub fn call(&self, name: &str, input: &Input) -> Reply {
        self.wait(self.post(name, input))
    }

    /// Calls with JSON arguments by position, and expects a JSON result.
    pub fn ask(&self, name: &str, arguments: &Value) -> Value {
        match self.call(name, &Input::Spread(arguments.to_string().as_bytes())) {
            Ok(Output::Encoded(json)) => serde_json::from_slice(&json).expect("JSON"),
            Ok(Output::Empty) => Value::Null,
            other => panic!("{name}({arguments}) answered {other:?}"),
        }
    }

    /// Calls with JSON arguments by position, and expects an error.
    pub fn blame(&self, name: &str, arguments: &Value) -> Value {
        match self.call(name, &Input::Spread(arguments.to_string().as_bytes())) {
            Err(error) => error,
            other => panic!("{name}({arguments}) answered {other:?}"),
        }
    }

    /// Everything logged so far on `stream`.
    pub fn logged(&self, stream: u32) -> String {
        let state = self.shared.state.lock().expect("state");
        state.logs.iter().filter(|(number, _)| *number == stream).map(|(_, text)| text.as_str()).collect()
    }

    pub fn failure(&self) -> Value {
        self.until("failure", |state| state.failure.take())
    }

    /// Requests that are held now, and how many were released so far.
    pub fn holds(&self) -> (usize, usize) {
        let state = self.shared.state.lock().expect("state");
        (state.held, state.releases)
    }

    /// Requests whose memory the guest still may touch.
    pub fn pages(&self) -> usize {
        self.shared.state.lock().expect("state").pages.len()
    }

    /// Asks the guest whether it can run code.
    pub fn beat(&self) {
        // SAFETY: a guest that was started, and is joined by who owns this.
        unsafe { (LIBRARY.beat)(self.guest as *mut c_void) };
    }

    pub fn stop(&self) {
        self.shared.state.lock().expect("state").stopped = true;
        self.shared.changed.notify_all();
    }

    pub fn unload(self) {
        let left = self.unload_and_count();
        assert_eq!(left, 0, "requests still held, or unanswered, after the unload");
    }

    /// Unloads, and counts the requests whose memory the guest did not give back.
    pub fn unload_and_count(self) -> usize {
        self.stop();
        join(self.guest);
        self.pages()
    }
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes { data: bytes.as_ptr(), len: bytes.len() }
}

fn shared(handle: RuntimeHandle) -> &'static Shared {
    // SAFETY: made by Arc::into_raw in `load`, and never given back.
    unsafe { &*handle.cast::<Shared>() }
}

fn slice<'a>(data: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: what the guest passes is readable while it is copied.
    if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, len) } }
}

unsafe extern "C" fn take(handle: RuntimeHandle, out: *mut Task, wait: u32) -> i32 {
    let shared = shared(handle);
    let mut state = shared.state.lock().expect("state");
    loop {
        if let Some(task) = state.queue.pop_front() {
            // SAFETY: a place to write to.
            unsafe { out.write(task) };
            return TAKE_TASK;
        }
        if state.stopped {
            return TAKE_STOPPED;
        }
        if wait == 0 {
            return TAKE_EMPTY;
        }
        state = shared.changed.wait(state).expect("state");
    }
}

unsafe extern "C" fn respond(
    handle: RuntimeHandle,
    task: u64,
    status: u32,
    flags: u32,
    data: *const u8,
    len: usize,
) -> i32 {
    let shared = shared(handle);
    let payload = slice(data, len);
    let reply = if status != STATUS_OK {
        Err(serde_json::from_slice(payload).expect("an error is JSON"))
    } else if flags & u32::from(FLAG_EMPTY) != 0 {
        Ok(Output::Empty)
    } else if flags & u32::from(FLAG_BYTES) != 0 {
        Ok(Output::Bytes(payload.to_vec()))
    } else {
        Ok(Output::Encoded(payload.to_vec()))
    };
    let mut state = shared.state.lock().expect("state");
    let owner = state.pages.get_mut(&task).expect("a task in flight").owner;
    state.end(task);
    match owner {
        Some(_) => state.returned += 1,
        None => state.answer(task, reply),
    }
    shared.changed.notify_all();
    0
}

unsafe extern "C" fn hold(handle: RuntimeHandle, task: u64) -> i32 {
    let mut state = shared(handle).state.lock().expect("state");
    state.held += 1;
    let page = state.pages.get_mut(&task).expect("a task in flight");
    assert!(!page.answered && !page.held, "task {task} held late or twice");
    page.held = true;
    0
}

unsafe extern "C" fn release(handle: RuntimeHandle, task: u64) -> i32 {
    let mut state = shared(handle).state.lock().expect("state");
    let page = state.pages.remove(&task).expect("a held task");
    assert!(page.held, "task {task} released but not held");
    state.held -= 1;
    state.releases += 1;
    0
}

unsafe extern "C" fn ready(handle: RuntimeHandle, manifest: Bytes) -> i32 {
    let manifest = serde_json::from_slice(slice(manifest.data, manifest.len)).expect("a manifest is JSON");
    shared(handle).state.lock().expect("state").manifest = Some(manifest);
    0
}

unsafe extern "C" fn fail(handle: RuntimeHandle, error: Bytes) -> i32 {
    let shared = shared(handle);
    let error = serde_json::from_slice(slice(error.data, error.len)).expect("an error is JSON");
    shared.state.lock().expect("state").failure = Some(error);
    shared.changed.notify_all();
    0
}

unsafe extern "C" fn log(handle: RuntimeHandle, stream: u32, text: Bytes) -> i32 {
    let text = String::from_utf8(slice(text.data, text.len).to_vec()).expect("UTF-8");
    assert!(text.ends_with('\n'), "not whole lines: {text:?}");
    shared(handle).state.lock().expect("state").logs.push((stream, text));
    0
}
