// SPDX-License-Identifier: Apache-2.0
//! Functions that return a stream of items.

use std::sync::atomic::Ordering::SeqCst;

use polyloop_abi::*;
use polyloop_test_host::{Call, Guest, Options, start};
use serde_json::{Value, json};

#[polyloop::guest]
mod functions {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::stream::{self, StreamExt};
    use polyloop::{Bytes, Error, Input, Stream};

    /// How many streams were dropped, by `Counted`.
    pub static DROPPED: AtomicU32 = AtomicU32::new(0);
    /// How many items `endless` and `endless_async` made.
    pub static MADE: AtomicU32 = AtomicU32::new(0);

    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub fn count(n: u32) -> impl Iterator<Item = u32> {
        0..n
    }
    pub async fn count_later(n: u32) -> impl Iterator<Item = u32> {
        tokio::task::yield_now().await;
        0..n
    }
    pub fn count_stream(n: u32) -> impl Stream<Item = u32> + Send {
        stream::iter(0..n).then(|number| async move {
            tokio::task::yield_now().await;
            number
        })
    }
    pub async fn count_stream_later(n: u32) -> Result<impl Stream<Item = u32>, Error> {
        tokio::task::yield_now().await;
        if n == 0 { Err(Error::new("nothing", "there is nothing to count")) } else { Ok(stream::iter(0..n)) }
    }
    pub fn count_boxed(n: u32) -> Box<dyn Iterator<Item = u32> + Send> {
        Box::new(0..n)
    }
    pub fn count_pinned(n: u32) -> Pin<Box<dyn Stream<Item = u32> + Send>> {
        Box::pin(stream::iter(0..n))
    }
    pub fn count_or_not(n: u32) -> Result<impl Iterator<Item = u32>, String> {
        if n == 0 { Err("nothing to count".to_owned()) } else { Ok(0..n) }
    }
    pub fn words(text: &str, mark: char) -> impl Iterator<Item = String> + '_ {
        text.split(' ').map(move |word| format!("{word}{mark}"))
    }
    pub fn words_stream(text: &str) -> impl Stream<Item = &str> {
        stream::iter(text.split(' '))
    }
    pub fn blocks() -> impl Iterator<Item = Vec<u8>> {
        [vec![1, 2], vec![], vec![3]].into_iter()
    }
    pub fn blocks_stream() -> impl Stream<Item = Option<Bytes>> {
        stream::iter([Some(Bytes::from(vec![1, 2])), None])
    }
    pub fn fails_after(n: u32) -> impl Iterator<Item = Result<u32, Error>> {
        (0..n).map(Ok).chain(std::iter::once(Err(Error::new("late", "it ends here"))))
    }
    pub fn fails_after_stream(n: u32) -> impl Stream<Item = Result<u32, Error>> {
        stream::iter(fails_after(n))
    }
    pub fn panics_after(n: u32) -> impl Iterator<Item = u32> {
        let counted = Counted;
        (0..).inspect(move |at| {
            let _counted = &counted;
            assert!(*at < n, "at {at}");
        })
    }
    pub fn panics_after_stream(n: u32) -> impl Stream<Item = u32> {
        stream::iter(panics_after(n))
    }
    pub fn endless() -> impl Iterator<Item = u32> {
        let counted = Counted;
        std::iter::repeat_with(move || {
            let _counted = &counted;
            MADE.fetch_add(1, Ordering::SeqCst)
        })
    }
    pub fn endless_stream() -> impl Stream<Item = u32> {
        stream::iter(endless())
    }
    pub fn silent_stream() -> impl Stream<Item = u32> {
        let counted = Counted;
        stream::pending().inspect(move |_| {
            let _counted = &counted;
        })
    }
    pub fn too_large() -> impl Iterator<Item = Vec<u8>> {
        [vec![0; 2], vec![0; 2 << 20]].into_iter()
    }
    pub struct Deep(u32);
    impl serde::Serialize for Deep {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.0.checked_sub(1).map(Self))
        }
    }
    pub fn unencodable() -> impl Iterator<Item = Deep> {
        std::iter::once(Deep(200))
    }
    pub fn add(a: i64, b: i64) -> i64 {
        a + b
    }
    pub async fn add_later(a: i64, b: i64) -> i64 {
        a + b
    }
    pub fn nothing() {}
    pub async fn large_later() -> Vec<u8> {
        vec![0; 2 << 20]
    }
    pub fn upper(words: Input<String>) -> impl Iterator<Item = Result<String, Error>> {
        Iterator::map(words, |word| word.map(|word| word.to_uppercase()))
    }
    pub fn upper_stream(words: Input<String> /* last */) -> impl Stream<Item = Result<String, Error>> {
        StreamExt::map(words, |word| word.map(|word| word.to_uppercase()))
    }
    pub async fn upper_later(
        prefix: String,
        mut words: Input<String>,
    ) -> Result<impl Stream<Item = String>, Error> {
        let first = words.receive().await.transpose()?;
        let rest = stream::unfold(words, |mut words| async { Some((words.receive().await?.ok()?, words)) });
        Ok(stream::iter(first).chain(rest).map(move |word| format!("{prefix}{}", word.to_uppercase())))
    }
}

/// The counters are the process's.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn guest() -> Guest {
    start!(Options::default()).expect("the guest starts")
}

fn numbers(guest: &Guest, name: &str, n: u32) -> (Vec<Value>, polyloop_test_host::Answer) {
    let (items, answer) = guest.stream(name, &json!([n]));
    (items.iter().map(polyloop_test_host::Item::json).collect(), answer)
}

fn is_empty(answer: &polyloop_test_host::Answer) -> bool {
    (answer.status, answer.flags, answer.data.len()) == (STATUS_OK, u32::from(FLAG_EMPTY), 0)
}

#[test]
fn the_manifest_says_which_functions_stream_and_which_take_a_stream() {
    let guest = guest();
    let manifest = guest.manifest();
    let find = |name| manifest["methods"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(find("count"), &json!({"name": "count", "params": ["n"], "async": false, "stream": true}));
    assert_eq!(find("count_pinned")["async"], true);
    assert_eq!(find("add"), &json!({"name": "add", "params": ["a", "b"], "async": false}));
    let upper = json!({"name": "upper_later", "params": ["prefix", "words"], "async": true, "stream": true, "input": true});
    assert_eq!(find("upper_later"), &upper);
    assert!(guest.unload());
}

#[test]
fn every_way_to_write_a_stream_sends_its_items_and_then_answers_empty() {
    let guest = guest();
    let names = [
        "count",
        "count_later",
        "count_stream",
        "count_stream_later",
        "count_boxed",
        "count_pinned",
        "count_or_not",
    ];
    for name in names {
        let (items, answer) = numbers(&guest, name, 3);
        assert_eq!(items, [0, 1, 2], "{name}");
        assert!(is_empty(&answer), "{name}: {answer:?}");
    }
    assert!(is_empty(&numbers(&guest, "count", 0).1));
    let (items, _) = guest.stream("words", &json!(["a \"b", "!"]));
    assert_eq!(items.iter().map(polyloop_test_host::Item::json).collect::<Vec<_>>(), ["a!", "\"b!"]);
    assert_eq!(guest.stream("words_stream", &json!(["a b"])).0[1].json(), "b");
    assert!(guest.unload());
}

#[test]
fn items_that_are_bytes_or_nothing_go_as_they_are() {
    let guest = guest();
    let (items, answer) = guest.stream("blocks", &json!([]));
    let items = items.into_iter().map(|item| (item.flags, item.data)).collect::<Vec<_>>();
    let bytes = u32::from(FLAG_BYTES);
    assert_eq!(items, [(bytes, vec![1, 2]), (bytes, vec![]), (bytes, vec![3])]);
    assert!(is_empty(&answer));
    let (items, _) = guest.stream("blocks_stream", &json!([]));
    assert_eq!((items[0].flags, items[1].flags), (bytes, u32::from(FLAG_EMPTY)));
    assert!(guest.unload());
}

#[test]
fn items_come_before_the_error_that_ends_the_stream() {
    let guest = guest();
    for name in ["fails_after", "fails_after_stream"] {
        let (items, answer) = numbers(&guest, name, 2);
        assert_eq!(
            (items, answer.refusal().as_str()),
            (vec![json!(0), json!(1)], "late: it ends here"),
            "{name}"
        );
    }
    assert_eq!(numbers(&guest, "count_or_not", 0).1.refusal(), "-: nothing to count");
    assert_eq!(numbers(&guest, "count_stream_later", 0).1.refusal(), "nothing: there is nothing to count");
    assert!(guest.unload());
}

#[test]
fn a_panic_in_the_middle_ends_the_stream_and_the_guest_lives_on() {
    let _alone = alone();
    let guest = guest();
    for name in ["panics_after", "panics_after_stream"] {
        let dropped = functions::DROPPED.load(SeqCst);
        let (items, answer) = numbers(&guest, name, 2);
        assert_eq!(items, [0, 1]);
        let error = answer.error();
        assert_eq!((&error["type"], &error["message"]), (&json!("panic"), &json!("at 2")), "{name}");
        assert!(error["stack"].as_str().unwrap().contains("tests/streams.rs:"));
        assert_eq!(functions::DROPPED.load(SeqCst), dropped + 1, "{name}");
    }
    assert_eq!(numbers(&guest, "count", 1).0, [0]);
    assert!(guest.unload());
}

#[test]
fn without_credit_the_guest_stops_and_with_credit_it_goes_on() {
    let _alone = alone();
    let guest = guest();
    for name in ["endless", "endless_stream"] {
        let made = functions::MADE.load(SeqCst);
        let id = guest.begin(name, &Call { flags: FLAG_EMPTY | FLAG_OUTPUT, credit: 2, ..Call::default() });
        assert_eq!(guest.items(id, 2).len(), 2);
        while functions::MADE.load(SeqCst) < made + 3 {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(guest.sent(id), 0, "{name} sends without credit");
        assert_eq!(functions::MADE.load(SeqCst), made + 3, "{name} makes the item that waits, and no other");
        guest.credit(id, 3);
        assert_eq!(guest.items(id, 3).len(), 3);
        guest.cancel(id);
        assert!(guest.answer(id).refusal().starts_with("cancelled: "));
    }
    assert!(guest.unload());
}

#[test]
fn a_stream_that_is_given_up_is_dropped_and_answered_as_cancelled() {
    let _alone = alone();
    let guest = guest();
    // When the stream waits for credit, when it sends all the time, and when it waits for something
    // of its own.
    for (name, credit) in [
        ("endless", 1),
        ("endless_stream", 1),
        ("endless", usize::MAX),
        ("endless_stream", usize::MAX),
        ("silent_stream", 1),
    ] {
        let dropped = functions::DROPPED.load(SeqCst);
        let id = guest.begin(name, &Call { flags: FLAG_EMPTY | FLAG_OUTPUT, credit, ..Call::default() });
        if name != "silent_stream" {
            guest.items(id, 1);
        }
        guest.cancel(id);
        let refusal = guest.answer(id).refusal();
        assert_eq!(refusal, format!("cancelled: {name}(): the caller gave the call up"));
        assert_eq!(functions::DROPPED.load(SeqCst), dropped + 1, "{name}");
    }
    assert!(guest.unload());
}

#[test]
fn a_call_that_wants_no_stream_is_told_to_want_one() {
    let guest = guest();
    for name in ["count", "count_stream"] {
        let refusal = guest.json(name, &json!([1])).refusal();
        let said = format!("invalid-argument: {name}(n): this function streams: call it with stream()");
        assert_eq!(refusal, said);
    }
    assert!(guest.unload());
}

#[test]
fn an_item_that_the_host_or_the_codec_refuses_ends_the_stream() {
    let guest = guest();
    let (items, answer) = guest.stream("too_large", &json!([]));
    assert_eq!(items.len(), 1);
    let refusal = answer.refusal();
    assert!(
        refusal.starts_with("too-large: too_large(): ") && refusal.contains("2097152 bytes"),
        "{refusal}"
    );
    let (_, answer) = guest.stream("unencodable", &json!([]));
    assert!(answer.refusal().starts_with("invalid-result: unencodable(): json"));
    assert!(guest.stream("large_later", &json!([])).1.refusal().starts_with("too-large: "));
    assert!(guest.unload());
}

#[test]
fn one_result_is_a_stream_of_one_item_to_a_caller_who_takes_a_stream() {
    let guest = guest();
    for name in ["add", "add_later"] {
        let (items, answer) = guest.stream(name, &json!([2, 40]));
        assert_eq!((items.len(), items[0].json()), (1, json!(42)), "{name}");
        assert!(is_empty(&answer));
        let flags = FLAG_SPREAD | FLAG_OUTPUT;
        let id = guest.begin(name, &Call { flags, payload: b"[1, 1]", credit: 0, ..Call::default() });
        guest.credit(id, 1);
        assert_eq!(guest.items(id, 1)[0].json(), 2);
        assert!(is_empty(&guest.answer(id)));
    }
    let (items, answer) = guest.stream("nothing", &json!([]));
    assert!(items.is_empty() && is_empty(&answer));
    assert!(guest.unload());
}

#[test]
fn items_go_in_and_come_out_at_the_same_time() {
    let guest = guest();
    for (name, arguments, prefix) in
        [("upper", json!([]), ""), ("upper_stream", json!([]), ""), ("upper_later", json!([">"]), ">")]
    {
        let flags = FLAG_SPREAD | FLAG_INPUT | FLAG_OUTPUT;
        let payload = arguments.to_string();
        let id =
            guest.begin(name, &Call { flags, payload: payload.as_bytes(), credit: 1, ..Call::default() });
        for word in ["one", "two", "three"] {
            guest.push(id, 0, json!(word).to_string().as_bytes());
            assert_eq!(guest.items(id, 1)[0].json(), json!(format!("{prefix}{}", word.to_uppercase())));
            guest.credit(id, 1);
        }
        guest.end(id);
        assert!(is_empty(&guest.answer(id)), "{name}");
        let (items, answer) = guest.duplex(name, &arguments, &[json!("a"), json!("b")]);
        assert!(items.len() == 2 && is_empty(&answer));
    }
    assert!(guest.unload());
}

#[test]
fn a_call_that_is_given_up_at_any_moment_is_answered_once() {
    let guest = guest();
    let words = [json!("a"), json!("b")];
    for round in 0..200 {
        let flags = FLAG_SPREAD | FLAG_OUTPUT;
        let call = |input, payload| Call { flags: flags | input, payload, credit: 2, ..Call::default() };
        let calls = [
            guest.begin("count_stream", &call(0, b"[3]")),
            guest.begin("count", &call(0, b"[3]")),
            guest.begin("upper", &call(FLAG_INPUT, b"[]")),
            guest.begin("upper_later", &call(FLAG_INPUT, b"[\"\"]")),
        ];
        for word in &words {
            for id in &calls[2..] {
                guest.push(*id, 0, word.to_string().as_bytes());
            }
        }
        (0..round % 50).for_each(|_| std::thread::yield_now());
        for id in calls {
            guest.credit(id, 1);
            guest.cancel(id);
        }
        for id in calls {
            let answer = guest.answer(id);
            assert!(is_empty(&answer) || answer.refusal().starts_with("cancelled: "), "{answer:?}");
        }
    }
    assert!(guest.unload());
}
