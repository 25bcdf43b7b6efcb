// SPDX-License-Identifier: Apache-2.0
//! What hosts and keepers say to each other, word by word. The guest is a program that says nothing.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    process::{Child, Command},
    time::Duration,
};

use polyloop_connection::packet;
use serde_json::{Value, json};

/// A watchdog, and no claim about speed.
const PATIENCE: Duration = Duration::from_mins(5);

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).unwrap()
}

/// A name of one test's own.
fn name(of: &str) -> String {
    format!("polyloop-test-{of}-{}", std::process::id())
}

/// A keeper with its descriptor 3, whose guest has no time to end.
fn keeper(name: &str, socket: impl Into<OwnedFd>) -> Child {
    keeper_of(&["sleep", "1000"], name, socket)
}

fn keeper_of(guest: &[&str], name: &str, socket: impl Into<OwnedFd>) -> Child {
    let socket = socket.into();
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyloop-guest-process"));
    command.args(["keep", "0", name]).args(guest);
    let number = socket.as_raw_fd();
    // SAFETY: system calls alone, between fork and exec; the socket is open until the child is there.
    unsafe {
        command.pre_exec(move || {
            if libc::dup2(number, 3) == 3 && libc::fcntl(3, libc::F_SETFD, 0) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    command.spawn().unwrap()
}

fn listening(name: &str) -> UnixListener {
    UnixListener::bind_addr(&address(name)).unwrap()
}

/// The keeper that has the name.
fn known(name: &str) -> Child {
    keeper(name, listening(name))
}

/// A keeper that nobody finds by the name, and the host that it was started for, which has joined; the guest's process.
fn fresh(name: &str) -> (Child, Host, u64) {
    let (near, far) = UnixStream::pair().unwrap();
    let keeper = keeper(name, far);
    let mut host = Host::of(near);
    let pid = host.join();
    (keeper, host, pid)
}

struct Host {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Host {
    fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    /// One that is at the door, and has said nothing.
    fn at(name: &str) -> Self {
        Self::of(UnixStream::connect_addr(&address(name)).unwrap())
    }

    fn ask_to_join(&self) {
        let files: [File; 5] = std::array::from_fn(|_| File::open("/dev/null").unwrap());
        packet::send(&self.stream, b"join\n", &files.each_ref().map(AsFd::as_fd)).unwrap();
    }

    /// Joins; the guest's process.
    fn join(&mut self) -> u64 {
        self.ask_to_join();
        let welcome = self.hear().unwrap();
        assert_eq!(welcome["event"], "welcome");
        welcome["pid"].as_u64().unwrap()
    }

    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; nothing where it was sent away.
    fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        if let Err(error) = self.lines.read_line(&mut line) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    fn expect(&mut self, line: &Value) {
        assert_eq!(self.hear().as_ref(), Some(line));
    }
}

fn event(name: &str) -> Value {
    json!({ "event": name })
}

#[test]
fn who_is_at_the_door_when_the_name_is_given_away_is_sent_on_and_who_is_in_is_told() {
    let name = name("yield");
    let mut keeper = known(&name);
    let mut silent = Host::at(&name);
    let mut inside = Host::at(&name);
    inside.join();
    let taker = Host::at(&name);
    packet::send(&taker.stream, b"yield\n", &[]).unwrap();
    inside.expect(&event("moved"));
    assert_eq!(silent.hear(), None);
    let mut text = [0; 16];
    let (read, files) = packet::receive(&taker.stream, &mut text).unwrap();
    assert_eq!((&text[..read], files.len()), (&b"yielded\n"[..], 1));
    drop(inside);
    assert!(keeper.wait().unwrap().success());
}

#[test]
fn who_joins_at_the_moment_when_the_name_is_given_away_is_sent_on() {
    let name = name("moment");
    let mut keeper = known(&name);
    let (taker, mut joins) = (Host::at(&name), Host::at(&name));
    let mut inside = Host::at(&name);
    // All that came before it are in the keeper's list now.
    inside.join();
    let pid = keeper.id().cast_signed();
    // SAFETY: system calls about a child of this process. It hears both at once when it goes on.
    unsafe {
        assert_eq!(libc::kill(pid, libc::SIGSTOP), 0);
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, libc::WUNTRACED), pid);
        assert!(libc::WIFSTOPPED(status));
    }
    packet::send(&taker.stream, b"yield\n", &[]).unwrap();
    joins.ask_to_join();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGCONT) }, 0);
    inside.expect(&event("moved"));
    assert_eq!(joins.hear(), None);
    drop(inside);
    assert!(keeper.wait().unwrap().success());
}

#[test]
fn the_keeper_of_a_newer_guest_takes_the_name_when_its_host_says_so() {
    let name = name("take");
    let mut old = known(&name);
    let mut stays = Host::at(&name);
    let before = stays.join();
    let (mut new, mut reloads, fresh) = fresh(&name);
    assert_ne!(fresh, before);
    // Until then the old one is found.
    assert_eq!(Host::at(&name).join(), before);
    reloads.say("take");
    reloads.expect(&event("taken"));
    stays.expect(&event("moved"));
    let mut later = Host::at(&name);
    assert_eq!(later.join(), fresh);
    // It has it already.
    reloads.say("take");
    reloads.expect(&event("taken"));
    later.expect(&event("taken"));
    drop(stays);
    assert!(old.wait().unwrap().success());
    drop((reloads, later));
    assert!(new.wait().unwrap().success());
}

#[test]
fn a_keeper_whose_host_goes_before_it_has_the_name_leaves_it_to_the_old_one() {
    let name = name("leaves");
    let mut old = known(&name);
    let mut stays = Host::at(&name);
    let before = stays.join();
    let (mut new, reloads, _) = fresh(&name);
    drop(reloads);
    assert!(new.wait().unwrap().success());
    assert_eq!(Host::at(&name).join(), before);
    drop(stays);
    assert!(old.wait().unwrap().success());
}

#[test]
fn a_name_that_something_else_has_is_not_taken_and_the_host_hears_why() {
    let name = name("strange");
    let strange = listening(&name);
    let (mut keeper, mut reloads, _) = fresh(&name);
    reloads.say("take");
    let mut asks = BufReader::new(strange.accept().unwrap().0);
    let mut line = String::new();
    asks.read_line(&mut line).unwrap();
    assert_eq!(line, "yield\n");
    asks.get_mut().write_all(b"why?\n").unwrap();
    let told = reloads.hear().unwrap();
    assert_eq!(told["event"], "untaken");
    assert!(told["message"].as_str().unwrap().contains("no socket"));
    // It may try again, once the name is free.
    drop((strange, asks));
    reloads.say("take");
    reloads.expect(&event("taken"));
    drop(reloads);
    assert!(keeper.wait().unwrap().success());
}

#[test]
fn of_those_who_watch_the_first_is_told_and_the_next_one_when_it_leaves() {
    let name = name("watch");
    let mut keeper = known(&name);
    let mut hosts = [Host::at(&name), Host::at(&name), Host::at(&name)];
    for host in &mut hosts {
        host.join();
    }
    let [mut first, mut second, mut third] = hosts;
    second.say("watch");
    let told = second.hear().unwrap();
    assert_eq!(told["event"], "first");
    assert!(told["since"].as_u64().unwrap() > 1_700_000_000_000);
    third.say("watch");
    first.say("watch");
    drop(second);
    // Another one has been there longer now.
    first.expect(&told);
    drop(first);
    third.expect(&told);
    drop(third);
    assert!(keeper.wait().unwrap().success());
}

#[test]
fn who_a_guest_was_started_for_that_hears_nobody_is_told_how_it_ended() {
    let name = name("deaf");
    let guest = ["sh", "-c", "exec 3>&-; exec sleep 1000"];
    let mut keeper = keeper_of(&guest, &name, listening(&name));
    while !is_deaf(&keeper) {
        std::thread::yield_now();
    }
    let mut host = Host::at(&name);
    host.join();
    loop {
        let line = host.hear().unwrap();
        if line["event"] == "exit" {
            assert_eq!((&line["code"], &line["signal"]), (&Value::Null, &json!(libc::SIGKILL)));
            break;
        }
    }
    drop(host);
    assert!(keeper.wait().unwrap().success());
}

/// Whether the guest of a keeper runs `sleep`.
fn is_deaf(keeper: &Child) -> bool {
    let children = format!("/proc/{0}/task/{0}/children", keeper.id());
    let children = std::fs::read_to_string(children).unwrap_or_default();
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    children.split_whitespace().any(|pid| name(pid) == "sleep\n")
}
