// SPDX-License-Identifier: Apache-2.0
//! The processes of this machine, as `/proc` lists them.

use std::fs;

use nix::{sys::signal::Signal, unistd::Pid};

/// What is known of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub pid: Pid,
    pub parent: Pid,
    pub session: Pid,
}

impl Entry {
    /// Nothing if there is no such process.
    pub fn of(pid: Pid) -> Option<Self> {
        read(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }
}

impl Entry {
    /// Whether it neither ends by SIGTERM nor hears it: who arranges that has something to do when others have ended.
    /// One that is only about to ignore it blocks it until then.
    pub fn withstands_end(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        ["SigBlk:", "SigIgn:"].into_iter().any(|name| {
            let mask = status.lines().find_map(|line| line.strip_prefix(name));
            let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
            mask & 1 << (Signal::SIGTERM as i32 - 1) != 0
        })
    }
}

/// All that this process may see; none if there is no `/proc`.
pub fn entries() -> impl Iterator<Item = Entry> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names
        .filter_map(|name| name.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Entry::of(Pid::from_raw(pid)))
}

/// The state follows the name, which may hold anything but ends with the last parenthesis.
fn read(pid: Pid, stat: &[u8]) -> Option<Entry> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let text = str::from_utf8(&stat[end + 1..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let _state = fields.next()?;
    let mut next = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    let (parent, _group, session) = (next()?, next()?, next()?);
    Some(Entry { pid, parent, session })
}

#[cfg(test)]
mod tests {
    use nix::unistd::{getppid, getsid};

    use super::*;

    #[test]
    fn this_process_is_listed_with_its_parent_and_its_session() {
        let own = entries().find(|entry| entry.pid == Pid::this()).unwrap();
        assert_eq!((own.parent, own.session), (getppid(), getsid(None).unwrap()));
    }

    #[test]
    fn a_name_may_look_like_the_rest() {
        let entry = read(Pid::from_raw(7), b"7 (a) S 1 2) Z 3 4 5 0 -1").unwrap();
        assert_eq!((entry.parent.as_raw(), entry.session.as_raw()), (3, 5));
        assert_eq!(read(Pid::from_raw(7), b"7 (a) S 1"), None);
    }
}
