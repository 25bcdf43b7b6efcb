// SPDX-License-Identifier: Apache-2.0
//! Functions whose last argument is a stream.

use polyloop_abi::*;
use polyloop_test_host::{Call, Guest, Options, start};
use serde_json::{Value, json};

#[polyloop::guest]
mod functions {
    use std::sync::Mutex;
    use std::time::Duration;

    use polyloop::{Bytes, Error, Input};
    use serde::Deserialize;
    use serde_json::Value;

    #[derive(Deserialize)]
    pub struct Point {
        x: i64,
    }

    pub static KEPT: Mutex<Vec<Bytes>> = Mutex::new(Vec::new());
    pub static AWAY: Mutex<Option<std::thread::JoinHandle<Vec<String>>>> = Mutex::new(None);
    pub static SPAWNED: Mutex<Option<tokio::task::JoinHandle<Vec<String>>>> = Mutex::new(None);

    pub fn sum(numbers: Input<f64>) -> Result<f64, Error> {
        numbers.sum()
    }
    pub async fn sum_later(factor: f64, numbers: Input<f64>) -> Result<f64, Error> {
        let all = futures_util::StreamExt::collect::<Vec<_>>(numbers).await;
        Ok(all.into_iter().sum::<Result<f64, _>>()? * factor)
    }
    pub async fn sum_received(mut numbers: polyloop::Input<f64>) -> Result<f64, Error> {
        let mut sum = 0.0;
        while let Some(number) = numbers.receive().await {
            sum += number?;
        }
        Ok(sum)
    }
    pub fn points(points: Input<Point>) -> Result<i64, Error> {
        points.map(|point| point.map(|point| point.x)).sum()
    }
    pub fn lengths(chunks: Input<Vec<u8>>) -> Vec<String> {
        chunks
            .map(|chunk| chunk.map_or_else(|error| error.message, |chunk| chunk.len().to_string()))
            .collect()
    }
    pub fn options(words: Input<Option<String>>) -> Vec<Option<String>> {
        words.filter_map(Result::ok).collect()
    }
    pub fn keep(chunks: Input<Bytes>) -> usize {
        let all = chunks.filter_map(Result::ok).collect::<Vec<_>>();
        let count = all.len();
        KEPT.lock().unwrap().extend(all);
        count
    }
    pub fn first(mut items: Input<Value>) -> Option<Value> {
        items.next()?.ok()
    }
    pub fn codes(items: Input<u8>) -> Vec<String> {
        texts(items)
    }
    pub fn threads(items: Input<u8>) -> Vec<String> {
        std::thread::spawn(|| texts(items)).join().unwrap()
    }
    pub fn abandon(items: Input<u8>) {
        *AWAY.lock().unwrap() = Some(std::thread::spawn(|| texts(items)));
    }
    pub async fn abandon_later(items: Input<u8>) {
        use futures_util::StreamExt;
        let task = tokio::spawn(async { StreamExt::map(items, text).collect().await });
        tokio::time::sleep(Duration::from_millis(10)).await;
        *SPAWNED.lock().unwrap() = Some(task);
    }
    pub fn nothing() {}

    pub struct Spiteful;
    impl<'de> Deserialize<'de> for Spiteful {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("in deserialize")
        }
    }
    pub fn spite(mut items: Input<Spiteful>) -> bool {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(items.next())));
        // Nothing else gives the item back before the answer.
        caught.is_err() && items.next().is_none()
    }

    fn texts(items: Input<u8>) -> Vec<String> {
        Iterator::map(items, text).collect()
    }
    fn text(item: Result<u8, Error>) -> String {
        item.map_or_else(|error| error.code, |item| item.to_string())
    }
}

fn guest() -> Guest {
    start!(Options::default()).expect("the guest starts")
}

const FED: u8 = FLAG_EMPTY | FLAG_INPUT;

#[test]
fn items_arrive_in_order_and_the_end_ends_them() {
    let guest = guest();
    assert_eq!(guest.feed("sum", &[json!(1), json!(2.5)]).json(), json!(3.5));
    // The sum of no floats is -0, which JSON has no number for.
    assert!(guest.feed("sum", &[]).data.ends_with(br#"{"~":["n","-0"]}"#));
    assert_eq!(guest.feed("sum_received", &[json!(1), json!(2)]).json(), json!(3.0));
    assert_eq!(guest.feed("points", &[json!({"x": 1}), json!({"x": 2})]).json(), 3);
    assert_eq!(guest.feed("options", &[json!("a"), Value::Null]).json(), json!(["a", null]));
    assert_eq!(guest.feed("threads", &[json!(1), json!(2)]).json(), json!(["1", "2"]));
    let flags = FLAG_SPREAD | FLAG_INPUT;
    let id = guest.begin("sum_later", &Call { flags, payload: b"[2]", ..Call::default() });
    guest.push(id, 0, b"20");
    guest.push(id, 0, b"1");
    guest.end(id);
    assert_eq!(guest.answer(id).json(), json!(42.0));
    assert!(guest.unload());
}

#[test]
fn a_function_waits_for_items_that_come_late() {
    let guest = guest();
    for name in ["sum", "sum_received", "threads"] {
        let id = guest.begin(name, &Call { flags: FED, ..Call::default() });
        for number in 1..=3 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let item = guest.push(id, 0, number.to_string().as_bytes());
            guest.wait_until_released(item);
        }
        guest.end(id);
        assert_eq!(guest.answer(id).status, STATUS_OK, "{name}");
    }
    assert!(guest.unload());
}

#[test]
fn bytes_of_items_are_kept_without_a_copy_and_given_back_when_dropped() {
    let guest = guest();
    let id = guest.begin("keep", &Call { flags: FED, ..Call::default() });
    let (first, second) = (guest.push(id, FLAG_BYTES, b"first"), guest.push(id, FLAG_BYTES, b"second"));
    guest.end(id);
    assert_eq!(guest.answer(id).json(), 2);
    let mut kept = std::mem::take(&mut *functions::KEPT.lock().unwrap());
    assert!(guest.keeps(first) && guest.keeps(second));
    assert_eq!(&*kept.remove(0), b"first");
    guest.wait_until_released(first);
    assert_eq!(&*kept.remove(0), b"second");
    guest.wait_until_released(second);
    let id = guest.begin("lengths", &Call { flags: FED, ..Call::default() });
    let copied = guest.push(id, FLAG_BYTES, b"copied");
    guest.wait_until_released(copied);
    guest.end(id);
    assert_eq!(guest.answer(id).json(), json!(["6"]));
    assert!(guest.unload());
}

#[test]
fn an_item_that_does_not_fit_is_an_error_and_the_next_may_fit() {
    let guest = guest();
    assert_eq!(
        guest.feed("codes", &[json!(1), json!("x"), json!(3)]).json(),
        json!(["1", "invalid-argument", "3"])
    );
    let refusal = guest.feed("sum", &[json!("x")]).refusal();
    let said =
        "invalid-argument: sum(numbers): an item of `numbers`: invalid type: string \"x\", expected f64";
    assert!(refusal.starts_with(said), "{refusal}");
    let said = guest.feed("lengths", &[json!("text")]).json();
    assert!(said[0].as_str().unwrap().contains("expected bytes (a Uint8Array)"), "{said}");
    assert!(guest.unload());
}

#[test]
fn a_cancellation_is_one_error_and_then_the_end() {
    let guest = guest();
    for name in ["codes", "threads"] {
        let id = guest.begin(name, &Call { flags: FED, ..Call::default() });
        let item = guest.push(id, 0, b"1");
        guest.wait_until_released(item);
        guest.cancel(id);
        assert_eq!(guest.answer(id).json(), json!(["1", "cancelled"]), "{name}");
    }
    let id = guest.begin("sum", &Call { flags: FED, ..Call::default() });
    guest.cancel(id);
    assert_eq!(guest.answer(id).refusal(), "cancelled: sum(numbers): the caller gave the call up");
    assert!(guest.unload());
}

#[test]
fn a_function_may_answer_before_the_end_of_its_input() {
    let guest = guest();
    let id = guest.begin("first", &Call { flags: FED, ..Call::default() });
    guest.push(id, 0, b"{\"a\": 1}");
    let unread = guest.push(id, 0, b"2");
    assert_eq!(guest.answer(id).json(), json!({"a": 1}));
    assert!(!guest.keeps(unread));
    assert!(guest.unload());
}

#[test]
fn an_input_that_outlives_its_call_ends_with_an_error() {
    let guest = guest();
    let id = guest.begin("abandon", &Call { flags: FED, ..Call::default() });
    assert_eq!(guest.answer(id).status, STATUS_OK);
    let away = functions::AWAY.lock().unwrap().take().unwrap();
    assert_eq!(away.join().unwrap(), ["cancelled"]);
    let id = guest.begin("abandon_later", &Call { flags: FED, ..Call::default() });
    guest.push(id, 0, b"1");
    assert_eq!(guest.answer(id).status, STATUS_OK);
    let spawned = functions::SPAWNED.lock().unwrap().take().unwrap();
    let woken = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(spawned).unwrap();
    assert_eq!(woken, ["1", "cancelled"]);
    assert!(guest.unload());
}

#[test]
fn a_stream_that_is_missing_or_not_wanted_is_refused() {
    let guest = guest();
    let said =
        "invalid-argument: sum(numbers): it takes a stream: pass an async iterable as the last argument";
    assert_eq!(guest.json("sum", &json!([[1, 2]])).refusal(), said);
    let refusal = guest.feed("nothing", &[json!(1)]).refusal();
    assert!(refusal.starts_with("invalid-argument: nothing(): it takes no stream"), "{refusal}");
    assert!(guest.unload());
}

#[test]
fn an_item_whose_decoding_panics_is_given_back() {
    let guest = guest();
    let id = guest.begin("spite", &Call { flags: FED, ..Call::default() });
    let item = guest.push(id, 0, b"1");
    guest.wait_until_released(item);
    guest.end(id);
    assert_eq!(guest.answer(id).json(), true);
    assert!(guest.unload());
}

#[test]
fn msgpack_items_are_values_and_bytes_alike() {
    let guest = start!(Options { codec: "msgpack", ..Options::default() }).unwrap();
    let id = guest.begin("lengths", &Call { flags: FED, ..Call::default() });
    guest.push(id, 0, &[0xc4, 2, 8, 9]);
    guest.end(id);
    assert_eq!(guest.answer(id).data, b"\x91\xa12");
    assert!(guest.unload());
}
