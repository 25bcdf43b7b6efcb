// SPDX-License-Identifier: Apache-2.0
//! The lifeline between the host and this process.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::fd::{AsRawFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

use polyloop_connection::Event;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the host has this process load.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// A guest of the C ABI.
    pub library: std::path::PathBuf,
    /// Threads for sync functions; 0 leaves the number to the guest.
    pub threads: u32,
    /// Configuration in JSON, or empty.
    pub config: String,
    /// Name of the codec.
    pub codec: String,
    /// The loader's own options in JSON, or empty.
    pub loader: String,
    /// Bytes of one response.
    pub max_payload: usize,
    /// Milliseconds between heartbeats; 0 for none.
    pub beat: u64,
    /// Bytes of memory that this process may have for itself; 0 for no limit.
    pub max_memory: u64,
}

/// What the host says, and this process.
pub struct Lifeline {
    from: BufReader<File>,
    to: Speaker,
}

/// This process's end, to speak.
pub struct Speaker(Mutex<File>);

impl Lifeline {
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: system calls on our own descriptor. Hosts read and write their end in their own
        // way.
        unsafe {
            let flags = libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK);
        }
        let file = File::from(descriptor);
        Ok(Self { from: BufReader::new(file.try_clone()?), to: Speaker(Mutex::new(file)) })
    }

    /// Greets the host; its first line.
    pub fn start(&mut self) -> io::Result<Start> {
        self.to.say(&json!({ "event": "hello" }));
        let mut text = String::new();
        self.from.read_line(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Its two ends.
    pub fn split(self) -> (impl BufRead + Send, Speaker) {
        (self.from, self.to)
    }
}

impl Speaker {
    /// Tells the host of an event.
    pub fn tell(&self, event: &Event) {
        self.say(&match event {
            Event::Ready(manifest) => json!({ "event": "ready", "payload": manifest }),
            Event::Failed(rc, error) => json!({ "event": "failed", "rc": rc, "payload": error.0 }),
            Event::Died(error) => json!({ "event": "died", "payload": error.0 }),
            Event::Closed => json!({ "event": "closed" }),
        });
    }

    fn say(&self, value: &Value) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // If nobody listens any more, this process is about to end.
        let _ = file.write_all(format!("{value}\n").as_bytes());
    }
}

/// Whether the host asks for the end.
pub fn asks_for_end(line: &str) -> bool {
    line.trim_end() == "close"
}
