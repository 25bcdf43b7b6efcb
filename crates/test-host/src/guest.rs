// SPDX-License-Identifier: Apache-2.0
//! A guest, as a test sees it.

use std::sync::{Arc, MutexGuard};

use polyloop_abi::{
    ABI_VERSION, EVENT_CANCELLED, EVENT_CREDIT, EVENT_INPUT, FLAG_INPUT, FLAG_OUTPUT, FLAG_SPREAD, STATUS_OK,
};
use serde_json::Value;

use crate::{
    call::{Answer, Call, Item},
    library::Library,
    state::{Progress, Shared, State},
    table::table,
};

/// What a guest is started with.
pub struct Options<'a> {
    /// The version of the ABI that the guest is told.
    pub abi: u32,
    /// Threads for sync functions; 0 leaves the number to the guest.
    pub threads: u32,
    /// Configuration in JSON, or empty.
    pub config: &'a str,
    /// Name of the codec.
    pub codec: &'a str,
    /// The loader's own options in JSON, or empty.
    pub loader: &'a str,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { abi: ABI_VERSION, threads: 2, config: "", codec: "json", loader: "" }
    }
}

/// A guest that did not start.
#[derive(Debug)]
pub struct Refused {
    /// What `start` returned.
    pub rc: i32,
    /// What the guest said before.
    pub error: Value,
}

/// A guest that has started.
pub struct Guest {
    shared: Arc<Shared>,
    library: Library,
    started: usize,
    manifest: Value,
}

/// Starts the guest that `#[polyloop::guest]` made in the test itself.
#[macro_export]
macro_rules! start {
    ($options:expr) => {{
        use polyloop_abi::{Host, RuntimeHandle, StartInfo};
        use std::ffi::c_void;
        unsafe extern "C" {
            fn polyloop_guest_start(
                host: *const Host,
                runtime: RuntimeHandle,
                info: *const StartInfo,
                guest: *mut *mut c_void,
            ) -> i32;
            fn polyloop_guest_join(guest: *mut c_void);
        }
        // SAFETY: the two functions are the attribute's.
        let library = unsafe { $crate::Library::of(polyloop_guest_start, polyloop_guest_join) };
        $crate::Guest::start(&library, &$options)
    }};
}

impl Guest {
    /// Starts a guest.
    ///
    /// # Errors
    /// What the guest says if it does not start.
    ///
    /// # Panics
    /// If the guest neither starts nor says why, or starts and declares nothing.
    pub fn start(library: &Library, options: &Options<'_>) -> Result<Self, Refused> {
        let shared = Arc::<Shared>::default();
        // For good: what outlives the guest, as views of requests in Python may, tells the host of
        // its end.
        let handle = Arc::into_raw(Arc::clone(&shared)) as usize;
        let host = Box::leak(Box::new(table(options.abi)));
        let texts = [options.config, options.codec, options.loader];
        // SAFETY: both are never freed, and the functions expect such a handle.
        let (rc, started) = unsafe { library.start(host, handle, options.threads, texts) };
        let mut state = shared.lock();
        if rc != 0 {
            let error = state.failure.take().expect("a guest that does not start says why");
            return Err(Refused { rc, error });
        }
        let manifest = state.manifest.clone().expect("a guest that starts is ready");
        drop(state);
        Ok(Self { shared, library: *library, started, manifest })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    fn until<T>(&self, what: &str, probe: impl FnMut(&mut State) -> Option<T>) -> T {
        self.shared.until(what, probe)
    }

    /// What the guest declared.
    pub fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// The number of a method.
    ///
    /// # Panics
    /// If the guest declared no such method.
    pub fn method(&self, name: &str) -> u16 {
        let methods = self.manifest["methods"].as_array().expect("a manifest has methods");
        let number = methods.iter().position(|method| method["name"] == name);
        number.unwrap_or_else(|| panic!("the guest has no method {name}")) as u16
    }

    /// Waits until the guest says that it has died, and why.
    pub fn failure(&self) -> Value {
        self.until("failure", |state| state.failure.clone())
    }

    /// Waits for as many lines, and takes them.
    pub fn lines(&self, count: usize) -> Vec<(u32, String)> {
        self.until("lines", |state| (state.log.len() >= count).then(|| std::mem::take(&mut state.log)))
    }

    /// Everything that was printed on a stream and not taken yet.
    pub fn logged(&self, stream: u32) -> String {
        let state = self.lock();
        state.log.iter().filter(|(number, _)| *number == stream).map(|(_, text)| text.as_str()).collect()
    }

    /// Waits until the guest is able to run code.
    pub fn beat(&self) {
        // SAFETY: the guest has started, and is joined by who owns this.
        unsafe { self.library.beat(self.started) };
    }

    /// Has guest threads leave once nothing waits.
    pub fn stop(&self) {
        self.shared.change(|state| state.stopped = true);
    }

    /// Lets the guest end. `true`: it has answered every task, and holds nothing.
    pub fn unload(self) -> bool {
        self.leave();
        let state = self.lock();
        state.pages.is_empty() && state.tasks.values().all(|task| task.answered)
    }

    /// Lets the guest end: how many requests and items it may still touch.
    pub fn unload_and_count(self) -> usize {
        self.leave();
        self.pages()
    }

    fn leave(&self) {
        self.stop();
        // SAFETY: after a start, and once: the callers consume this.
        unsafe { self.library.join(self.started) };
    }
}

/// Calls.
impl Guest {
    /// Submits a call with everything that may come with one; its number.
    pub fn submit_call(&self, method: u16, call: &Call<'_>) -> u64 {
        self.shared.change(|state| state.submit(method, call))
    }

    /// Submits a call by name.
    pub fn begin(&self, name: &str, call: &Call<'_>) -> u64 {
        self.submit_call(self.method(name), call)
    }

    /// Submits a call that is a request alone.
    pub fn submit_number(&self, method: u16, flags: u8, payload: &[u8]) -> u64 {
        self.submit_call(method, &Call { flags, payload, ..Call::default() })
    }

    /// The same by name.
    pub fn submit(&self, name: &str, flags: u8, payload: &[u8]) -> u64 {
        self.submit_number(self.method(name), flags, payload)
    }

    /// Waits for an answer, and takes it.
    pub fn answer(&self, id: u64) -> Answer {
        self.until("answer", |state| state.answers.remove(&id))
    }

    /// Whether there is an answer that nobody has taken.
    pub fn is_answered(&self, id: u64) -> bool {
        self.lock().answers.contains_key(&id)
    }

    /// Calls a function and waits for its answer.
    pub fn call(&self, name: &str, flags: u8, payload: &[u8]) -> Answer {
        self.answer(self.submit(name, flags, payload))
    }

    /// Calls a function with JSON arguments.
    pub fn json(&self, name: &str, arguments: &Value) -> Answer {
        self.call(name, FLAG_SPREAD, arguments.to_string().as_bytes())
    }

    /// What a call that succeeds returned, from JSON.
    ///
    /// # Panics
    /// If the call does not succeed, or its value is encoded in another way.
    pub fn value(&self, name: &str, arguments: &Value) -> Value {
        let answer = self.json(name, arguments);
        let text = String::from_utf8_lossy(&answer.data);
        assert_eq!((answer.status, answer.flags), (STATUS_OK, 0), "{text}");
        answer.json()
    }

    /// Gives a call up.
    pub fn cancel(&self, id: u64) {
        self.change(id, EVENT_CANCELLED, |task| task.cancelled = true);
    }

    /// What the guest set to go back with the answer.
    pub fn notes(&self, id: u64) -> Option<Value> {
        self.lock().task(id).notes.clone()
    }

    /// How often the guest asked to be told of a call's events.
    pub fn watches(&self, id: u64) -> usize {
        self.lock().task(id).watches
    }

    /// Waits until a call's events are told to the guest.
    pub fn until_watched(&self, id: u64) {
        self.until("watcher", |state| state.task(id).watcher.map(drop));
    }

    /// Waits until a thread of the guest waits inside the host for this call.
    pub fn until_blocked(&self, id: u64) {
        self.until("waiting thread", |state| (state.task(id).waiting > 0).then_some(()));
    }
}

/// Streams.
impl Guest {
    fn change(&self, id: u64, events: u32, change: impl FnOnce(&mut Progress)) {
        self.shared.change(|state| {
            let task = state.task(id);
            change(task);
            task.tell(events);
        });
    }

    /// Adds an item to a call's request stream; its number. 0: the call is answered.
    pub fn push(&self, id: u64, flags: u8, payload: &[u8]) -> u64 {
        self.shared.change(|state| {
            if state.open(id).is_none() {
                return 0;
            }
            let (item, data) = state.page(payload, Some(id));
            let task = state.task(id);
            let (len, flags) = (payload.len() as u64, flags.into());
            task.inbox.push_back(polyloop_abi::Item { id: item, data, len, flags, reserved: 0 });
            task.tell(EVENT_INPUT);
            item
        })
    }

    /// Ends a call's request stream.
    pub fn end(&self, id: u64) {
        self.change(id, EVENT_INPUT, |task| task.ended = true);
    }

    /// Lets a call send more items.
    pub fn credit(&self, id: u64, items: usize) {
        self.change(id, EVENT_CREDIT, |task| task.credit += items);
    }

    /// How many items were sent and not taken.
    pub fn sent(&self, id: u64) -> usize {
        self.lock().task(id).sent.len()
    }

    /// Waits until a call has sent n items, and takes all.
    pub fn items(&self, id: u64, count: usize) -> Vec<Item> {
        self.until("items", |state| {
            let sent = &mut state.task(id).sent;
            (sent.len() >= count).then(|| std::mem::take(sent).into())
        })
    }

    /// The next item of a response stream; nothing once the call is answered.
    pub fn next_item(&self, id: u64) -> Option<Item> {
        self.until("item", |state| {
            let task = state.task(id);
            task.sent.pop_front().map(Some).or(task.answered.then_some(None))
        })
    }

    /// Every item that is left until the answer, and the answer.
    pub fn rest(&self, id: u64) -> (Vec<Item>, Answer) {
        (std::iter::from_fn(|| self.next_item(id)).collect(), self.answer(id))
    }

    /// Calls a streaming function with JSON arguments, with credit without end.
    pub fn stream(&self, name: &str, arguments: &Value) -> (Vec<Item>, Answer) {
        let (flags, payload) = (FLAG_SPREAD | FLAG_OUTPUT, arguments.to_string());
        self.rest(self.begin(name, &Call { flags, payload: payload.as_bytes(), ..Call::default() }))
    }

    /// The same with items to receive, all of which are there from the beginning.
    pub fn duplex(&self, name: &str, arguments: &Value, items: &[Value]) -> (Vec<Item>, Answer) {
        let (flags, payload) = (FLAG_SPREAD | FLAG_OUTPUT | FLAG_INPUT, arguments.to_string());
        let id = self.begin(name, &Call { flags, payload: payload.as_bytes(), ..Call::default() });
        self.push_all(id, items);
        self.rest(id)
    }

    /// Calls a function with items to receive.
    pub fn feed(&self, name: &str, items: &[Value]) -> Answer {
        let id = self.begin(name, &Call { flags: FLAG_SPREAD | FLAG_INPUT, ..Call::default() });
        self.push_all(id, items);
        self.answer(id)
    }

    fn push_all(&self, id: u64, items: &[Value]) {
        for item in items {
            self.push(id, 0, item.to_string().as_bytes());
        }
        self.end(id);
    }

    /// Waits until the guest has given back n items itself.
    pub fn until_returned(&self, count: usize) {
        self.until("returned items", |state| (state.returned >= count).then_some(()));
    }
}

/// Memory that the guest may touch.
impl Guest {
    /// Whether the guest may touch a request or an item.
    pub fn keeps(&self, id: u64) -> bool {
        self.lock().pages.contains_key(&id)
    }

    /// The guest's thread may be the last to let go, just after the answer.
    pub fn wait_until_released(&self, id: u64) {
        self.until("release", |state| (!state.pages.contains_key(&id)).then_some(()));
    }

    /// How many requests and items the guest holds, and how many it has released.
    pub fn holds(&self) -> (usize, usize) {
        let state = self.lock();
        (state.held, state.released)
    }

    /// How many requests and items the guest may touch.
    pub fn pages(&self) -> usize {
        self.lock().pages.len()
    }

    /// Waits until the guest has nothing more of the host's: what a guest has answered with is let
    /// go of after the answer.
    pub fn until_free(&self) {
        self.until("memory given back", |state| (state.held == 0 && state.pages.is_empty()).then_some(()));
    }
}
