// SPDX-License-Identifier: Apache-2.0
//! What hosts and brokers say to each other, word by word. The guest is a program that says
//! nothing.

use std::{
    collections::HashSet,
    env,
    fs::{self, DirBuilder, File},
    io::{BufRead, BufReader, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::DirBuilderExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use polyloop_connection::packet;
use polyloop_ring::region::ParkingWords;
use serde_json::{Value, json};

/// A watchdog, and no claim about speed.
const PATIENCE: Duration = Duration::from_mins(5);

/// An address of one test's own; its folder must be empty when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(of: &str) -> Self {
        let folder = env::temp_dir().join(format!("polyloop-broker-{of}-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("guest")
    }

    fn listening(&self) -> UnixListener {
        UnixListener::bind(self.path()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = fs::remove_dir(&self.0);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// A broker with its socket, whose guest has no time to end.
fn broker(place: &Place, socket: impl Into<OwnedFd>) -> Child {
    broker_of(place, socket, &["sleep", "1000"])
}

fn broker_of(place: &Place, socket: impl Into<OwnedFd>, guest: &[&str]) -> Child {
    patient(place, socket, 0, guest)
}

/// One whose guest has some milliseconds to end.
fn patient(place: &Place, socket: impl Into<OwnedFd>, drain: u64, guest: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyloop-guest-process"));
    command
        .args(["broker", &drain.to_string()])
        .arg(place.path())
        .args(guest)
        .stdin(Stdio::from(socket.into()));
    command.spawn().unwrap()
}

/// The broker that has the name.
fn known(place: &Place) -> Child {
    broker(place, place.listening())
}

/// A broker that nobody finds by the name, and the host that it was started for, which has joined;
/// the guest's process.
fn fresh(place: &Place) -> (Child, Host, u64) {
    let (near, far) = UnixStream::pair().unwrap();
    let broker = broker(place, far);
    let mut host = Host::of(near);
    let pid = host.join();
    (broker, host, pid)
}

struct Host {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    /// Where the host hears what the guest prints, once it has joined.
    output: Option<BufReader<UnixStream>>,
}

impl Host {
    fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines, output: None }
    }

    /// One that is at the listener, and has said nothing.
    fn at(place: &Place) -> Self {
        Self::of(UnixStream::connect(place.path()).unwrap())
    }

    fn ask_to_join(&self) {
        self.ask_to_join_with(5);
    }

    fn ask_to_join_with(&self, count: usize) {
        let files: Vec<_> = (0..count).map(|_| File::open("/dev/null").unwrap()).collect();
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let sent = packet::send(&self.stream, b"join\n", &files);
        // Who is turned away may be so before it has said anything.
        assert!(sent.is_ok() || sent.is_err_and(|error| packet::is_gone(&error)));
    }

    /// Hears that it is not served, and why.
    fn refusal(&mut self) -> String {
        let told = self.hear().unwrap();
        assert_eq!(told["event"], "unserved");
        told["message"].as_str().unwrap().into()
    }

    /// Joins; the guest's process.
    fn join(&mut self) -> u64 {
        self.ask_to_join();
        let mut text = [0; 1024];
        let received = packet::receive(&self.stream, &mut text).unwrap();
        let [parking, output]: [OwnedFd; 2] = received.files.try_into().unwrap();
        ParkingWords::attach(parking.as_fd()).unwrap();
        self.output = Some(BufReader::new(output.into()));
        let welcome: Value = serde_json::from_slice(&text[..received.bytes]).unwrap();
        assert_eq!(welcome["event"], "welcome");
        welcome["pid"].as_u64().unwrap()
    }

    /// The next line that the guest prints.
    fn printed(&mut self) -> Value {
        let mut line = String::new();
        self.output.as_mut().unwrap().read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; nothing if the host was sent away.
    fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        if let Err(error) = self.lines.read_line(&mut line) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Waits until the broker has done what it heard of before.
    fn turn(&mut self) {
        self.say("take");
        self.expect(&event("taken"));
    }

    fn expect(&mut self, line: &Value) {
        assert_eq!(self.hear().as_ref(), Some(line));
    }
}

fn event(name: &str) -> Value {
    json!({ "event": name })
}

#[test]
fn who_waits_at_the_listener_when_the_name_is_given_away_is_sent_on_and_who_is_in_is_told() {
    let place = Place::new("yield");
    let mut broker = known(&place);
    let mut silent = Host::at(&place);
    let mut inside = Host::at(&place);
    inside.join();
    let taker = Host::at(&place);
    packet::send(&taker.stream, b"yield\n", &[]).unwrap();
    inside.expect(&event("moved"));
    assert_eq!(silent.hear(), None);
    let mut text = [0; 16];
    let received = packet::receive(&taker.stream, &mut text).unwrap();
    assert_eq!((&text[..received.bytes], received.files.len()), (&b"yielded\n"[..], 1));
    // The file is that of who has the socket.
    fs::remove_file(place.path()).unwrap();
    drop(inside);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn who_joins_at_the_moment_when_the_name_is_given_away_is_sent_on() {
    let place = Place::new("moment");
    let mut broker = known(&place);
    let (taker, mut joins) = (Host::at(&place), Host::at(&place));
    let mut inside = Host::at(&place);
    // All that came before it are in the broker's list now.
    inside.join();
    let pid = broker.id().cast_signed();
    // SAFETY: system calls about a child of this process. The broker hears both at once when it
    // goes on.
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
    assert!(broker.wait().unwrap().success());
    // The file is that of who has the socket.
    fs::remove_file(place.path()).unwrap();
}

#[test]
fn the_broker_of_a_newer_guest_takes_the_name_when_its_host_says_so() {
    let place = Place::new("take");
    let mut old = known(&place);
    let mut stays = Host::at(&place);
    let before = stays.join();
    let (mut new, mut reloads, fresh) = fresh(&place);
    assert_ne!(fresh, before);
    // Until then the old one is found.
    assert_eq!(Host::at(&place).join(), before);
    reloads.say("take");
    reloads.expect(&event("taken"));
    stays.expect(&event("moved"));
    let mut later = Host::at(&place);
    assert_eq!(later.join(), fresh);
    // The broker has the name already.
    reloads.say("take");
    reloads.expect(&event("taken"));
    later.expect(&event("taken"));
    drop(stays);
    assert!(old.wait().unwrap().success());
    drop((reloads, later));
    assert!(new.wait().unwrap().success());
}

#[test]
fn a_broker_whose_host_goes_before_it_has_the_name_leaves_it_to_the_old_one() {
    let place = Place::new("leaves");
    let mut old = known(&place);
    let mut stays = Host::at(&place);
    let before = stays.join();
    let (mut new, reloads, _) = fresh(&place);
    drop(reloads);
    assert!(new.wait().unwrap().success());
    assert_eq!(Host::at(&place).join(), before);
    drop(stays);
    assert!(old.wait().unwrap().success());
}

#[test]
fn a_name_that_something_else_has_is_not_taken_and_the_host_hears_why() {
    let place = Place::new("strange");
    let strange = place.listening();
    let (mut broker, mut reloads, _) = fresh(&place);
    reloads.say("take");
    let mut asks = BufReader::new(strange.accept().unwrap().0);
    let mut line = String::new();
    asks.read_line(&mut line).unwrap();
    assert_eq!(line, "yield\n");
    asks.get_mut().write_all(b"why?\n").unwrap();
    let told = reloads.hear().unwrap();
    assert_eq!(told["event"], "untaken");
    assert!(told["message"].as_str().unwrap().contains("no socket"));
    // The broker may try again, once the name is free.
    drop((strange, asks));
    reloads.say("take");
    reloads.expect(&event("taken"));
    drop(reloads);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn of_those_who_watch_the_first_is_told_and_the_next_one_when_it_leaves() {
    let place = Place::new("watch");
    let mut broker = known(&place);
    let mut hosts = [Host::at(&place), Host::at(&place), Host::at(&place)];
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
    assert!(broker.wait().unwrap().success());
}

#[test]
fn the_first_host_of_a_guest_that_cannot_be_reached_hears_how_it_ends() {
    let place = Place::new("unreachable");
    let told = place.0.join("fifo");
    let path = std::ffi::CString::new(told.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a system call that reads a string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    // As one that has ended already, which its broker has not heard of yet.
    let script = "exec 3>&-; echo closed > \"$0\"; exec sleep 1000";
    let guest = ["sh", "-c", script, told.to_str().unwrap()];
    let listener = place.listening();
    let mut host = Host::at(&place);
    let mut broker = broker_of(&place, listener, &guest);
    // The guest has closed its end when it has said so.
    fs::read(&told).unwrap();
    fs::remove_file(&told).unwrap();
    host.join();
    assert_eq!(host.hear().unwrap()["event"], "exit");
    drop(host);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn a_host_without_its_descriptors_is_refused_and_the_others_are_served() {
    let place = Place::new("without");
    let mut broker = known(&place);
    let mut stays = Host::at(&place);
    let pid = stays.join();
    for count in [0, 4] {
        let mut host = Host::at(&place);
        host.ask_to_join_with(count);
        assert!(host.refusal().contains("other descriptors"), "{count}");
        assert_eq!(host.hear(), None);
    }
    assert_eq!(Host::at(&place).join(), pid);
    drop(stays);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn a_broker_without_descriptors_turns_hosts_away_and_serves_those_that_it_has() {
    let place = Place::new("descriptors");
    let mut broker = known(&place);
    let mut stays = Host::at(&place);
    let pid = stays.join();
    // What came with it is closed by then.
    stays.turn();
    let folder = format!("/proc/{}/fd", broker.id());
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let taken: HashSet<u64> = names.map(|name| name.to_str().unwrap().parse().unwrap()).collect();
    let free: Vec<_> = (0..).filter(|number| !taken.contains(number)).take(9).collect();
    let mut refused = 0;
    // One for the connection, five of the host, two for what is printed.
    for (left, next) in free.into_iter().enumerate() {
        let limit = libc::rlimit { rlim_cur: next, rlim_max: 1000 };
        let broker = broker.id().cast_signed();
        // SAFETY: a system call about a child of this process, which reads the limit.
        let set =
            unsafe { libc::prlimit(broker, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        let mut host = Host::at(&place);
        host.ask_to_join();
        let told = host.hear().unwrap();
        if told["event"] == "welcome" {
            assert_eq!(left, 8);
            continue;
        }
        refused += 1;
        assert_eq!(told["event"], "unserved", "{left} left");
        assert!(told["message"].as_str().unwrap().contains("no descriptor left"), "{left} left");
        assert_eq!(host.hear(), None);
    }
    assert_eq!(refused, 8);
    assert_eq!(Host::at(&place).join(), pid);
    drop(stays);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn the_host_that_the_guest_cannot_serve_hears_why_and_the_others_nothing() {
    let place = Place::new("unserved");
    // What is no packet of a guest is nobody's news.
    let says = "dd bs=64 count=2 <&3 >/dev/null 2>&1; for word in nonsense 'refuse x y' 'refuse 2 it is full'
        do printf '%s' \"$word\" >&3; done; exec sleep 1000";
    let mut broker = broker_of(&place, place.listening(), &["sh", "-c", says]);
    let (mut first, mut second) = (Host::at(&place), Host::at(&place));
    first.join();
    second.join();
    assert_eq!(second.refusal(), "it is full");
    assert_eq!(second.hear(), None);
    first.turn();
    drop(first);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn what_a_host_hears_of_the_guest_does_not_wait_for_what_the_guest_prints() {
    let place = Place::new("prints");
    let mut broker =
        broker_of(&place, place.listening(), &["sh", "-c", "exec yes 'a line that is long enough'"]);
    let mut host = Host::at(&place);
    host.join();
    assert_eq!(host.printed(), json!({ "stream": "stdout", "text": "a line that is long enough\n" }));
    // It reads nothing more of that, and the guest cannot go on any more.
    host.turn();
    host.say("kill");
    let told = host.hear().unwrap();
    assert_eq!((&told["event"], &told["signal"]), (&json!("exit"), &json!(libc::SIGKILL)));
    assert_eq!(told["lines"].as_array().unwrap().len(), 20);
    drop(host);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn a_part_of_a_line_is_seen_before_its_end_and_the_rest_comes_to_the_same_host() {
    let place = Place::new("parts");
    let go = place.0.join("go");
    let script =
        format!("mkfifo {0}; printf 'name? '; read x < {0}; rm {0}; echo $x; exec sleep 1000", go.display());
    let mut broker = broker_of(&place, place.listening(), &["sh", "-c", &script]);
    let mut host = Host::at(&place);
    host.join();
    assert_eq!(host.printed(), json!({ "stream": "stdout", "text": "name? " }));
    let mut other = Host::at(&place);
    other.join();
    fs::write(&go, "Ada\n").unwrap();
    assert_eq!(host.printed(), json!({ "stream": "stdout", "text": "Ada\n" }));
    host.say("kill");
    assert_eq!(host.hear().unwrap()["lines"], json!(["name? Ada"]));
    drop((host, other));
    assert!(broker.wait().unwrap().success());
}

#[test]
fn a_guest_has_time_to_end_if_the_last_host_leaves_in_order_and_none_if_that_has_died() {
    let day = 24 * 60 * 60 * 1000;
    for in_order in [true, false] {
        let place = Place::new(if in_order { "order" } else { "death" });
        let said = place.0.join("said");
        // It ends by itself once it was told to.
        let guest = ["sh", "-c", "dd bs=64 count=3 <&3 >\"$0\" 2>/dev/null", said.to_str().unwrap()];
        let mut broker = patient(&place, place.listening(), day, &guest);
        let (mut first, mut last) = (Host::at(&place), Host::at(&place));
        first.join();
        last.join();
        if in_order {
            // Only the last one counts.
            drop(first);
            last.say("leave");
        } else {
            first.say("leave");
            drop(first);
            last.turn();
        }
        drop(last);
        assert!(broker.wait().unwrap().success());
        let told = fs::read_to_string(&said).unwrap_or_default();
        let _ = fs::remove_file(&said);
        assert_eq!(told.ends_with("end"), in_order, "{told}");
    }
}
