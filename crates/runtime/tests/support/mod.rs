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

use polyloop_abi::KIND_CALL;
use polyloop_ring::{
    Completion, Submission, Taker,
    completion::Drainer,
    submission::{self, Submitter},
};
use polyloop_runtime::{ErrorObject, Event, Guest, Host, Limits, Runtime, StartOptions, Task, load, unload};

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

pub fn start(config: &str, function: Function) -> Loaded {
    let ((sender, events), (keep, guests)) = (channel(), channel());
    let limits = Limits { calls: 4, payload: 1 << 20 };
    let runtime = Arc::new(Runtime::new(limits, Box::new(TestHost(sender))).unwrap());
    let options = StartOptions { config: config.into(), ..StartOptions::default() };
    let open = move || Ok(Box::new(TestGuest { function, thread: None }) as Box<dyn Guest>);
    load(Arc::clone(&runtime), options, open, move |guest| keep.send(guest).unwrap()).unwrap();
    Loaded { runtime, events, guests }
}

/// The watchdog of every wait.
const PATIENCE: Duration = Duration::from_secs(30);

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
