// SPDX-License-Identifier: Apache-2.0
//! A host and a guest of plain Rust, for the tests.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use polyloop_abi::{FLAG_BYTES, KIND_CALL, STATUS_ERROR, STATUS_OK};
use polyloop_connection::{
    ErrorObject, Event, Guest, Host, Limits, Nothing, Runtime, StartOptions, Task, load, unload,
};
use polyloop_ring::{
    Completion, Submission, Taker,
    completion::Drainer,
    submission::{self, Submitter},
};

struct TestHost(Sender<Event>);

impl Host for TestHost {
    fn wake(&self) {}
    fn event(&self, event: Event) {
        self.0.send(event).unwrap();
    }
}

pub type Function = fn(&Runtime, Task);

/// A guest with one thread that answers every task by a function.
struct TestGuest {
    function: Function,
    thread: Option<JoinHandle<()>>,
}

impl Guest for TestGuest {
    fn start(&mut self, runtime: &Arc<Runtime>, options: &StartOptions) -> Result<(), (i32, ErrorObject)> {
        match options.config.as_str() {
            "fail" => return Err((7, ErrorObject::new("init-failed", "as asked"))),
            "panic" => panic!("as asked"),
            "silent" => return Ok(()),
            _ => runtime.ready(br#"{"methods":[]}"#),
        };
        let (runtime, function) = (Arc::clone(runtime), self.function);
        self.thread = Some(thread::spawn(move || {
            let mut taker = Taker::default();
            while let Ok(task) = runtime.take(&mut taker, true) {
                function(&runtime, task);
            }
        }));
        Ok(())
    }

    fn join(mut self: Box<Self>) {
        self.thread.take().unwrap().join().unwrap();
    }
}

pub struct Loaded {
    pub runtime: Arc<Runtime>,
    events: Receiver<Event>,
    guests: Receiver<Box<dyn Guest>>,
}

/// Bytes of one response, at most.
pub const PAYLOAD: usize = 1 << 20;

pub fn start(config: &str, function: Function) -> Loaded {
    let limits = Limits { calls: 4, payload: PAYLOAD };
    start_in(config, function, |host| Runtime::new(limits, host).unwrap())
}

/// Starts a guest in a runtime that is made for this host.
pub fn start_in(config: &str, function: Function, make: impl FnOnce(Box<dyn Host>) -> Runtime) -> Loaded {
    let ((sender, events), (keep, guests)) = (channel(), channel());
    let runtime = Arc::new(make(Box::new(TestHost(sender))));
    let options = StartOptions { config: config.into(), ..StartOptions::default() };
    let open = move || Ok(Box::new(TestGuest { function, thread: None }) as Box<dyn Guest>);
    load(Arc::clone(&runtime), options, open, move |guest| keep.send(guest).unwrap()).unwrap();
    Loaded { runtime, events, guests }
}

/// The watchdog of every wait.
pub const PATIENCE: Duration = Duration::from_mins(5);

impl Loaded {
    pub fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    pub fn end(&self) {
        unload(Arc::clone(&self.runtime), Some(self.guests.recv().unwrap()), ()).unwrap();
        assert_eq!(self.event(), Event::Closed);
    }

    pub fn submit(&self, host: &mut Submitter<'_>, slot: u32, payload: &[u8]) {
        let call = Submission { task: slot, kind: KIND_CALL, ..Submission::default() };
        self.submit_as(host, call, payload);
    }

    /// Submits an entry whose payload goes into its slot.
    pub fn submit_as(&self, host: &mut Submitter<'_>, call: Submission, payload: &[u8]) {
        self.place(call.task, payload);
        if host.push(Submission { length: payload.len() as u32, ..call }).unwrap() {
            submission::ring(self.runtime.block().rings().header);
        }
    }

    pub fn place(&self, carrier: u32, payload: &[u8]) {
        let start = self.runtime.block().request(carrier);
        // SAFETY: the carrier is free and the payload fits it.
        unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), start, payload.len()) };
    }

    /// The next completion, waited for.
    pub fn completion(host: &mut Drainer<'_>) -> Completion {
        let start = std::time::Instant::now();
        loop {
            if let Some(completion) = host.pop() {
                return completion;
            }
            assert!(start.elapsed() < PATIENCE, "no completion");
            thread::yield_now();
        }
    }

    pub fn payload(&self, c: Completion) -> Vec<u8> {
        let start = match c.slab {
            0 => self.runtime.block().response(c.task),
            // SAFETY: the offset lies in the slab.
            slab => unsafe { self.runtime.slabs().open(slab).unwrap().as_ptr().add(c.offset as usize) },
        };
        // SAFETY: the guest has published that many bytes there.
        unsafe { std::slice::from_raw_parts(start, c.length as usize) }.to_vec()
    }
}

pub fn request(task: &Task) -> &[u8] {
    // SAFETY: valid until the answer, which the functions below give last.
    unsafe { std::slice::from_raw_parts(task.data, task.submission.length as usize) }
}

/// Sends the numbers from 0 as items, forever: it ends when its caller does.
pub fn endless(runtime: &Runtime, task: Task) {
    for number in 0_u32.. {
        if let Err(why) = runtime.send(task.id, FLAG_BYTES, &number.to_le_bytes(), true) {
            assert_eq!(why, Nothing::Cancelled);
            break;
        }
    }
    assert!(runtime.respond(task.id, STATUS_ERROR, 0, br#"{"code":"cancelled","message":"given up"}"#));
}

/// Answers with all items of its request stream in a row.
pub fn join(runtime: &Runtime, task: Task) {
    let mut all = Vec::new();
    loop {
        match runtime.receive(task.id, true) {
            Ok(item) => {
                // SAFETY: valid until it is given back, below.
                all.extend_from_slice(unsafe { std::slice::from_raw_parts(item.data, item.length as usize) });
                assert!(runtime.respond(item.id, STATUS_OK, 0, &[]));
            }
            Err(why) => {
                assert_eq!(why, Nothing::End);
                break;
            }
        }
    }
    assert!(runtime.respond(task.id, STATUS_OK, FLAG_BYTES, &all));
}
