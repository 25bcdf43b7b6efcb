// SPDX-License-Identifier: Apache-2.0
//! The host's end of a block, and a guest of plain Rust.

use std::{
    cell::RefCell,
    collections::HashMap,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use polyloop_abi::{FLAG_BYTES, KIND_CALL, STATUS_ERROR, STATUS_OK};
use polyloop_connection::{
    Connection, ErrorObject, Event, Guest, Host, LONGEST_WORDS, Limits, Nothing, RemoteConnection, Shared,
    StartOptions, Task, load, unload,
};
use polyloop_ring::{
    Completion, Submission, Taker,
    arena::GuestEnd,
    completion::Drainer,
    region::{Access, Block, Mapping},
    slab::Slabs,
    submission::{self, Submitter},
};

/// A host whose events go to a test, as long as that wants them.
struct Events(Sender<Event>);

impl Host for Events {
    fn wake(&self) {}
    fn event(&self, event: Event) {
        // A host that has gone hears nothing.
        let _ = self.0.send(event);
    }
}

/// A host that does not sleep, and what it hears.
pub fn events() -> (Box<dyn Host>, Receiver<Event>) {
    let (sender, events) = channel();
    (Box::new(Events(sender)), events)
}

/// What a guest does with a task: above all, answer.
pub type Function = fn(&Connection, Task);

/// A guest with one thread that answers every task by a function.
struct TestGuest {
    function: Function,
    thread: Option<JoinHandle<()>>,
}

impl Guest for TestGuest {
    fn start(
        &mut self,
        connection: &Arc<Connection>,
        options: &StartOptions,
    ) -> Result<(), (i32, ErrorObject)> {
        match options.config.as_str() {
            "fail" => return Err((7, ErrorObject::new("init-failed", "as asked"))),
            "panic" => panic!("as asked"),
            "silent" => return Ok(()),
            "long" => connection.ready(&vec![b' '; LONGEST_WORDS + 1]),
            _ => connection.ready(br#"{"methods":[]}"#),
        };
        let (connection, function) = (Arc::clone(connection), self.function);
        self.thread = Some(thread::spawn(move || {
            let mut taker = Taker::default();
            while let Ok(task) = connection.take(&mut taker, true) {
                function(&connection, task);
            }
        }));
        Ok(())
    }

    fn join(mut self: Box<Self>) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A guest that was started, and its connection.
pub struct Loaded {
    /// The connection, which both ends use.
    pub connection: Arc<Connection>,
    events: Receiver<Event>,
    guests: Receiver<Box<dyn Guest>>,
    /// Slabs, which are opened once.
    opened: RefCell<HashMap<u32, (*mut u8, usize)>>,
}

/// Bytes of one response, at most.
pub const PAYLOAD: usize = 1 << 20;

/// Starts a guest, which `config` may have fail: `fail`, `panic`, `silent`, `long`.
///
/// # Panics
/// If there is no memory for its block.
pub fn start(config: &str, function: Function) -> Loaded {
    let limits = Limits { calls: 4, payload: PAYLOAD };
    start_in(config, function, |host| Connection::new(limits, host).unwrap())
}

/// Starts a guest in a connection that is made for this host.
///
/// # Panics
/// If no thread can be started.
pub fn start_in(config: &str, function: Function, make: impl FnOnce(Box<dyn Host>) -> Connection) -> Loaded {
    let ((host, events), (keep, guests)) = (events(), channel());
    let connection = Arc::new(make(host));
    let options = StartOptions { config: config.into(), ..StartOptions::default() };
    let open = move || Ok(Box::new(TestGuest { function, thread: None }) as Box<dyn Guest>);
    load(Arc::clone(&connection), options, open, move |guest| keep.send(guest).unwrap()).unwrap();
    Loaded { connection, events, guests, opened: RefCell::default() }
}

/// The watchdog of every wait.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// The guest's end of a connection, as its process makes it of the descriptors that it inherits.
///
/// # Panics
/// If they are closed, or cannot be mapped.
pub fn attach(remote: &RemoteConnection, host: Box<dyn Host>) -> Connection {
    let files = remote.files().expect("they are open until the guest's process has them");
    // SAFETY: they stay open until close_files(), which nobody calls meanwhile.
    let [block, requests, responses] = files.map(|file| unsafe { BorrowedFd::borrow_raw(file) });
    let shared = Shared {
        block: Block::attach(block).unwrap(),
        slabs: Slabs::of(GuestEnd::attach(responses).unwrap()),
        requests: Mapping::of(requests, Access::Read).unwrap(),
    };
    Connection::attach(shared, PAYLOAD, host)
}

/// Copies a payload into a request buffer that is free.
pub fn place(block: &Block, buffer: u32, payload: &[u8]) {
    let start = block.request(buffer);
    // SAFETY: the request buffer is free and the payload fits it, says the caller, who is a test.
    unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), start, payload.len()) };
}

/// The next completion, waited for.
///
/// # Panics
/// If none comes.
pub fn next_completion(host: &mut Drainer<'_>) -> Completion {
    let start = Instant::now();
    loop {
        if let Some(completion) = host.pop() {
            return completion;
        }
        assert!(start.elapsed() < PATIENCE, "no completion");
        thread::yield_now();
    }
}

impl Loaded {
    /// The next event, waited for.
    ///
    /// # Panics
    /// If none comes.
    pub fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// Unloads the guest.
    ///
    /// # Panics
    /// If the guest does not end.
    pub fn end(&self) {
        unload(Arc::clone(&self.connection), || (Some(self.guests.recv().unwrap()), ())).unwrap();
        assert_eq!(self.event(), Event::Closed);
    }

    /// Submits a call whose payload goes into its slot.
    ///
    /// # Panics
    /// If the ring is full.
    pub fn submit(&self, host: &mut Submitter<'_>, slot: u32, payload: &[u8]) {
        let call = Submission { task: slot, kind: KIND_CALL, ..Submission::default() };
        self.submit_as(host, call, payload);
    }

    /// The same of an entry.
    ///
    /// # Panics
    /// If the ring is full.
    pub fn submit_as(&self, host: &mut Submitter<'_>, call: Submission, payload: &[u8]) {
        self.place(call.task, payload);
        if host.push(Submission { length: payload.len() as u32, ..call }).unwrap() {
            submission::ring(self.connection.block().rings().header);
        }
    }

    /// Copies a payload into a request buffer that is free.
    pub fn place(&self, buffer: u32, payload: &[u8]) {
        place(self.connection.block(), buffer, payload);
    }

    /// What a completion carries.
    ///
    /// # Panics
    /// If the completion names a slab that does not exist.
    pub fn payload(&self, c: Completion) -> Vec<u8> {
        let start = match c.slab {
            0 => self.connection.block().response(c.task),
            slab => {
                let mut opened = self.opened.borrow_mut();
                let open = || self.connection.slabs().open(slab).unwrap();
                let (start, len) = *opened.entry(slab).or_insert_with(open);
                assert!(c.offset as usize <= len);
                // SAFETY: the offset lies in the slab.
                unsafe { start.add(c.offset as usize) }
            }
        };
        // SAFETY: the guest has published that many bytes there.
        unsafe { std::slice::from_raw_parts(start, c.length as usize) }.to_vec()
    }
}

/// The request of a task that is not answered.
pub fn request(task: &Task) -> &[u8] {
    // SAFETY: valid until the answer, which the functions below give last.
    unsafe { std::slice::from_raw_parts(task.data, task.submission.length as usize) }
}

/// Sends the numbers from 0 as items, forever: it ends when its caller does.
///
/// # Panics
/// If the stream ends in another way.
pub fn endless(connection: &Connection, task: Task) {
    for number in 0_u32.. {
        if let Err(why) = connection.send(task.id, FLAG_BYTES, &number.to_le_bytes(), true) {
            assert_eq!(why, Nothing::Cancelled);
            break;
        }
    }
    assert!(connection.respond(task.id, STATUS_ERROR, 0, br#"{"code":"cancelled","message":"given up"}"#));
}

/// Answers with all items of its request stream in a row.
///
/// # Panics
/// If the stream does not end.
pub fn join(connection: &Connection, task: Task) {
    let mut all = Vec::new();
    loop {
        match connection.receive(task.id, true) {
            Ok(item) => {
                // SAFETY: valid until the item is given back, below.
                all.extend_from_slice(unsafe { std::slice::from_raw_parts(item.data, item.length as usize) });
                assert!(connection.respond(item.id, STATUS_OK, 0, &[]));
            }
            Err(why) => {
                assert_eq!(why, Nothing::End);
                break;
            }
        }
    }
    assert!(connection.respond(task.id, STATUS_OK, FLAG_BYTES, &all));
}
