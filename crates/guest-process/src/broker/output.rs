// SPDX-License-Identifier: Apache-2.0
//! What a guest prints, in lines, and in parts of lines that are meant to be seen.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// A line that never ends is handed on in pieces of n bytes: a host reads a megabyte of JSON in one
/// line at most.
const LONGEST: usize = 1 << 17;
/// After so long without more a part of a line is one that is meant to be seen, as a prompt is: a line may come in pieces.
const PAUSE: Duration = Duration::from_millis(20);
/// Lines that tell of a guest's end.
const LAST: usize = 20;
/// Characters of one such line.
const LAST_LENGTH: usize = 500;

/// One stream of a guest.
pub struct Output {
    name: &'static str,
    pipe: File,
    /// What has come of a line that has not ended, and was not handed on.
    rest: Vec<u8>,
    /// When the rest is to be seen.
    due: Option<Instant>,
    /// The first characters of what was handed on of that line.
    begun: String,
}

impl Output {
    pub fn new(name: &'static str, pipe: OwnedFd) -> Self {
        Self { name, pipe: pipe.into(), rest: Vec::new(), due: None, begun: String::new() }
    }

    /// Reads some of what waits: lines, each with its end, the first one without what was handed on of it. `None`: that
    /// was all.
    fn read(&mut self) -> Option<Vec<String>> {
        let mut bytes = vec![0; 1 << 16];
        match self.pipe.read(&mut bytes) {
            Ok(0) => None,
            Ok(read) => Some(self.cut(&bytes[..read])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(Vec::new()),
            Err(_) => None,
        }
    }

    /// The end of the last line, if that has not come.
    fn rest(&mut self) -> Option<String> {
        self.due = None;
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty() || !self.begun.is_empty()).then(|| text(&rest))
    }

    /// What has come of a line and is to be seen, but for a character that has not come as a whole.
    fn part(&mut self) -> Option<String> {
        self.due = None;
        let whole = self.rest.len() - unfinished(&self.rest);
        let part: Vec<u8> = self.rest.drain(..whole).collect();
        let part = String::from_utf8_lossy(&part).into_owned();
        let room = LAST_LENGTH.saturating_sub(self.begun.chars().count());
        self.begun.extend(part.chars().take(room));
        (!part.is_empty()).then_some(part)
    }

    fn cut(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let (mut lines, mut start) = (Vec::new(), 0);
        while let Some(length) = line(&self.rest[start..]) {
            lines.push(text(&self.rest[start..start + length]));
            start += length;
        }
        self.rest.drain(..start);
        self.due = (!self.rest.is_empty()).then(|| Instant::now() + PAUSE);
        lines
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// How long the first line is, with its end, if that has come.
fn line(bytes: &[u8]) -> Option<usize> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if end < LONGEST => Some(end + 1),
        _ if bytes.len() > LONGEST => {
            // Not in the middle of a character.
            Some((LONGEST - 3..=LONGEST).rev().find(|at| bytes[*at] & 0xc0 != 0x80).unwrap_or(LONGEST))
        }
        _ => None,
    }
}

/// How many bytes at the end begin a character that has more.
fn unfinished(bytes: &[u8]) -> usize {
    let begins = |count: &usize| {
        let end = bytes.len().checked_sub(*count).map(|at| str::from_utf8(&bytes[at..]));
        matches!(end, Some(Err(error)) if error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=3).find(begins).unwrap_or(0)
}

fn text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// What a guest prints on both of its streams.
pub struct Outputs {
    /// Until they have ended.
    streams: [Option<Output>; 2],
    last: Last,
}

impl Outputs {
    pub fn new(streams: [Output; 2]) -> Self {
        Self { streams: streams.map(Some), last: Last::default() }
    }

    /// The streams that have not ended.
    pub fn open(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.streams.iter().enumerate().filter_map(|(index, stream)| Some((index, stream.as_ref()?.as_fd())))
    }

    /// Whether all that was printed was read.
    pub fn are_over(&self) -> bool {
        self.streams.iter().all(Option::is_none)
    }

    /// Reads no more.
    pub fn close(&mut self) {
        self.streams = [None, None];
    }

    /// Reads some of what waits on a stream: its name, and lines, the first one without what was handed on of it.
    pub fn read(&mut self, index: usize) -> (&'static str, Vec<String>) {
        let Some(stream) = &mut self.streams[index] else { return ("", Vec::new()) };
        let (name, lines) = (stream.name, stream.read());
        let is_over = lines.is_none();
        let lines = lines.unwrap_or_else(|| stream.rest().into_iter().collect());
        for line in &lines {
            self.last.keep(&(std::mem::take(&mut stream.begun) + line));
        }
        if is_over {
            self.streams[index] = None;
        }
        (name, lines)
    }

    /// When a part of a line is to be seen.
    pub fn due(&self) -> Option<Instant> {
        self.streams.iter().flatten().filter_map(|stream| stream.due).min()
    }

    /// What is to be seen by now: of which stream, its name, and a part of a line.
    pub fn parts(&mut self) -> Vec<(usize, &'static str, String)> {
        let now = Instant::now();
        let streams = self.streams.iter_mut().enumerate();
        let due = streams.filter_map(|(index, stream)| Some((index, stream.as_mut()?)));
        due.filter(|(_, stream)| stream.due.is_some_and(|due| due <= now))
            .filter_map(|(index, stream)| Some((index, stream.name, stream.part()?)))
            .collect()
    }

    /// The lines that were printed last.
    pub fn last(&self) -> Vec<&str> {
        self.last.lines()
    }
}

/// The lines that were printed last.
#[derive(Default)]
struct Last(VecDeque<String>);

impl Last {
    fn keep(&mut self, line: &str) {
        self.0.push_back(line.trim_end().chars().take(LAST_LENGTH).collect());
        if self.0.len() > LAST {
            self.0.pop_front();
        }
    }

    fn lines(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> Output {
        Output::new("stdout", File::open("/dev/null").unwrap().into())
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let mut output = output();
        assert_eq!(output.cut(b"one\ntw"), ["one\n"]);
        assert_eq!(output.cut(b"o\n\nthr"), ["two\n", "\n"]);
        assert_eq!(output.rest().as_deref(), Some("thr\n"));
        assert_eq!(output.rest(), None);
    }

    #[test]
    fn a_part_of_a_line_is_seen_once_and_the_last_lines_have_it() {
        let mut outputs = Outputs::new([output(), output()]);
        let stream = outputs.streams[0].as_mut().unwrap();
        assert_eq!(stream.cut("a\nname? ä".as_bytes()), ["a\n"]);
        assert!(outputs.due().is_some_and(|due| due > Instant::now()));
        assert_eq!(outputs.parts(), []);
        outputs.streams[0].as_mut().unwrap().due = Some(Instant::now());
        assert_eq!(outputs.parts(), [(0, "stdout", "name? ä".to_owned())]);
        assert_eq!(outputs.due(), None);
        // The stream ends: /dev/null.
        assert_eq!(outputs.read(0), ("stdout", vec!["\n".to_owned()]));
        assert_eq!(outputs.last(), ["name? ä"]);
    }

    #[test]
    fn a_part_ends_with_a_whole_character() {
        let mut output = output();
        for text in ["ä", "€", "😀"] {
            for cut in 1..text.len() {
                output.cut(&text.as_bytes()[..cut]);
                assert_eq!(output.part(), None, "{text} {cut}");
                output.cut(&text.as_bytes()[cut..]);
                assert_eq!(output.part().as_deref(), Some(text));
            }
        }
        output.cut(b"a\xff");
        assert_eq!(output.part().as_deref(), Some("a\u{fffd}"));
    }

    #[test]
    fn a_line_without_end_comes_in_pieces_of_whole_characters() {
        let mut output = output();
        let long = "ä".repeat(LONGEST);
        let mut pieces = output.cut(b"x");
        pieces.extend(output.cut(long.as_bytes()));
        pieces.extend(output.rest());
        assert!(pieces.iter().all(|piece| piece.len() <= LONGEST + 1));
        let whole: String = pieces.iter().map(|piece| piece.trim_end()).collect();
        assert_eq!(whole, format!("x{long}"));
    }

    #[test]
    fn what_is_no_text_is_shown_as_such() {
        assert_eq!(output().cut(b"a\xffb\n"), ["a\u{fffd}b\n"]);
    }

    #[test]
    fn the_last_lines_are_few_and_short() {
        let mut last = Last::default();
        for number in 0..30 {
            last.keep(&format!("{number}{}\n", "x".repeat(1000)));
        }
        assert_eq!(last.lines().len(), LAST);
        assert!(last.lines()[0].starts_with("10x"));
        assert_eq!(last.lines()[0].len(), LAST_LENGTH);
    }
}
