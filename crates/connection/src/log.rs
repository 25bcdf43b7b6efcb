// SPDX-License-Identifier: Apache-2.0
//! What guests print, on its way to the host's streams.

use std::{
    io::Write,
    sync::{Condvar, Mutex},
};

/// Unread text beyond which a printing guest thread waits for the host.
const UNREAD_LIMIT: usize = 1 << 20;

/// Whole lines for one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1 for stdout, 2 for stderr.
    pub stream: u32,
    /// The text with its line ends.
    pub text: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Log {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    bytes: usize,
    announced: bool,
    closed: bool,
}

impl Log {
    /// Keeps `text` for the host. `true`: the text is to be announced, for nothing is announced
    /// yet.
    pub(crate) fn push(&self, stream: u32, text: &[u8]) -> bool {
        let state = self.state.lock().unwrap();
        let mut state = self.room.wait_while(state, |s| s.bytes > UNREAD_LIMIT && !s.closed).unwrap();
        if state.closed {
            write_directly(stream, text);
            return false;
        }
        state.bytes += text.len();
        match state.lines.last_mut() {
            Some(last) if last.stream == stream => last.text.extend_from_slice(text),
            _ => state.lines.push(Line { stream, text: text.to_vec() }),
        }
        !std::mem::replace(&mut state.announced, true)
    }

    /// Everything unread.
    pub(crate) fn take(&self) -> Vec<Line> {
        let mut state = self.state.lock().unwrap();
        state.bytes = 0;
        state.announced = false;
        self.room.notify_all();
        std::mem::take(&mut state.lines)
    }

    /// The host reads no more: what is left, and what comes, goes to the process's own streams.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap();
        state.closed = true;
        self.room.notify_all();
        for line in std::mem::take(&mut state.lines) {
            write_directly(line.stream, &line.text);
        }
    }
}

fn write_directly(stream: u32, text: &[u8]) {
    // A stream that is closed or full loses the text, as it would any other program's.
    let _ = match stream {
        2 => std::io::stderr().write_all(text),
        _ => std::io::stdout().write_all(text).and_then(|()| std::io::stdout().flush()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_announced_once_until_they_are_read() {
        let log = Log::default();
        assert!(log.push(1, b"a\n"));
        assert!(!log.push(1, b"b\n"));
        assert!(!log.push(2, b"c\n"));
        let lines = log.take();
        assert_eq!(lines.len(), 2, "lines of one stream in a row are one");
        assert_eq!((lines[0].stream, lines[0].text.as_slice()), (1, b"a\nb\n".as_slice()));
        assert_eq!((lines[1].stream, lines[1].text.as_slice()), (2, b"c\n".as_slice()));
        assert!(log.push(1, b"d\n"));
    }

    #[test]
    fn a_printing_thread_waits_while_a_megabyte_is_unread_and_no_longer_than_the_host() {
        let log = std::sync::Arc::new(Log::default());
        log.push(1, &vec![b'x'; UNREAD_LIMIT + 1]);
        for end in [Log::take as fn(&Log) -> Vec<Line>, |log: &Log| {
            log.close();
            Vec::new()
        }] {
            let writer = std::thread::spawn({
                let log = std::sync::Arc::clone(&log);
                move || log.push(2, &vec![b'\n'; UNREAD_LIMIT + 1])
            });
            end(&log);
            writer.join().unwrap();
        }
    }
}
