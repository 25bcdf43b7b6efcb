// SPDX-License-Identifier: Apache-2.0
//! The lifeline between the host and this process.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{Mutex, PoisonError},
    time::Duration,
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
    from: BufReader<UnixStream>,
    to: Speaker,
}

/// This process's end, to speak.
pub struct Speaker(Mutex<UnixStream>);

impl Lifeline {
    /// `patience`: how long a host that does not read is waited for, if others wait meanwhile.
    pub fn new(descriptor: OwnedFd, patience: Option<Duration>) -> io::Result<Self> {
        let stream = UnixStream::from(descriptor);
        // Hosts read and write their end in their own way.
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(patience)?;
        Ok(Self { from: BufReader::new(stream.try_clone()?), to: Speaker(Mutex::new(stream)) })
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
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stream.write_all(format!("{value}\n").as_bytes()).is_err() {
            // The host has gone, or does not read: what it hears from now on would be garbled.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Whether the host asks for the end.
pub fn asks_for_end(line: &str) -> bool {
    line.trim_end() == "close"
}
