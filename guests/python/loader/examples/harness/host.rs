// SPDX-License-Identifier: Apache-2.0
//! The loader, started by the host of `polyloop-test-host`, and what its cases say of payloads.

use polyloop_abi::{FLAG_BYTES, FLAG_EMPTY, FLAG_INPUT, FLAG_OUTPUT, FLAG_SPREAD, STATUS_OK};
pub use polyloop_test_host::MAX_ITEM;
use polyloop_test_host::{Answer, Call, Guest, Item, Library, Options as Start};
use serde_json::Value;
use std::ffi::{CStr, c_void};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::LazyLock;

/// What a task was answered with.
pub type Reply = Result<Output, Value>;

#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Bytes(Vec<u8>),
    Encoded(Vec<u8>),
    Empty,
}

impl Output {
    fn of(flags: u32, data: Vec<u8>) -> Self {
        if flags & u32::from(FLAG_EMPTY) != 0 {
            Self::Empty
        } else if flags & u32::from(FLAG_BYTES) != 0 {
            Self::Bytes(data)
        } else {
            Self::Encoded(data)
        }
    }
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

/// What a call is opened with.
#[derive(Default)]
pub struct Options {
    pub flags: u8,
    /// Items that may be sent before `credit` allows more.
    pub credit: usize,
    /// Nanoseconds of the monotonic clock; 0 for never.
    pub deadline_ns: u64,
    /// JSON, or nothing.
    pub context: &'static str,
}

impl Options {
    pub const INPUT: Self = Self { flags: FLAG_INPUT, credit: 0, deadline_ns: 0, context: "" };
    pub const DUPLEX: Self = Self { flags: FLAG_INPUT | FLAG_OUTPUT, credit: 1000, ..Self::INPUT };

    pub const fn output(credit: usize) -> Self {
        Self { flags: FLAG_OUTPUT, credit, ..Self::INPUT }
    }
}

/// A loaded guest.
pub struct Runtime(Guest);

impl Deref for Runtime {
    type Target = Guest;
    fn deref(&self) -> &Guest {
        &self.0
    }
}

/// What to load.
pub struct Load<'a> {
    pub loader: Value,
    pub config: &'a str,
    pub codec: &'a str,
    pub threads: u32,
}

/// The loader.
pub static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    // Not the copy above `deps`: `cargo test` does not renew that one.
    let path = folder().join("../deps/libpolyloop_python.so");
    Library::open(&path).unwrap_or_else(|name| panic!("the loader exports no {name}"))
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

impl Runtime {
    pub fn load(load: &Load) -> Result<Self, Value> {
        let Load { config, codec, threads, .. } = *load;
        let loader = load.loader.to_string();
        let options = Start { threads, config, codec, loader: &loader, ..Start::default() };
        Guest::start(&LIBRARY, &options).map(Self).map_err(|refused| refused.error)
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
        let Options { credit, deadline_ns, context, .. } = *options;
        let flags = flags | options.flags;
        self.submit_call(method, &Call { flags, payload, credit, deadline_ns, context })
    }

    pub fn wait(&self, id: u64) -> Reply {
        let answer: Answer = self.answer(id);
        if answer.status == STATUS_OK {
            Ok(Output::of(answer.flags, answer.data))
        } else {
            Err(answer.json())
        }
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

    /// Sends an item of a request stream.
    pub fn feed(&self, id: u64, input: &Input) {
        let (flags, payload) = input.parts();
        self.push(id, flags, payload);
    }

    /// The next item of a response stream; none once the call is answered.
    pub fn next(&self, id: u64) -> Option<Output> {
        self.next_item(id).map(|Item { flags, data }| Output::of(flags, data))
    }

    /// Every item of a response stream that is left until the answer, and the answer.
    pub fn rest(&self, id: u64) -> (Vec<Output>, Reply) {
        let items = std::iter::from_fn(|| self.next(id)).collect();
        (items, self.wait(id))
    }

    pub fn unload(self) {
        let left = self.unload_and_count();
        assert_eq!(left, 0, "requests still held, or unanswered, after the unload");
    }

    /// Unloads, and counts the requests whose memory the guest did not give back.
    pub fn unload_and_count(self) -> usize {
        self.0.unload_and_count()
    }
}
