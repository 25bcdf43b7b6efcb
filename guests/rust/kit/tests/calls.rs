// SPDX-License-Identifier: Apache-2.0
//! What a guest author may write, called through the ABI.

use polyloop_abi::*;
use polyloop_test_host::{Guest, Options, start};
use serde_json::{Value, json};

#[polyloop::guest]
mod functions {
    use std::borrow::Cow;
    use std::collections::BTreeMap;
    use std::error::Error;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use polyloop::Bytes;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, Serialize, Debug)]
    pub struct Point {
        x: i32,
        y: i32,
        #[serde(default)]
        label: Option<String>,
    }

    pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

    pub static KEPT: Mutex<Vec<Bytes>> = Mutex::new(Vec::new());
    static DROPPED: AtomicUsize = AtomicUsize::new(0);

    pub fn handle(data: &[u8]) -> &[u8] {
        data
    }
    pub fn add(a: i64, b: i64) -> i64 {
        a + b
    }
    pub fn greet(name: &str, mark: Option<char>) -> String {
        format!("Hello, {name}{}", mark.unwrap_or('!'))
    }
    pub fn first_word<'a>(text: &'a str, _other: &str) -> &'a str {
        text.split(' ').next().unwrap_or_default()
    }
    pub fn mirror(point: Point) -> Point {
        Point { x: point.y, y: point.x, ..point }
    }
    pub fn sum(numbers: &[i64], point: &Point, start: Option<&i64>) -> i64 {
        numbers.iter().sum::<i64>() + i64::from(point.x) + start.unwrap_or(&0)
    }
    pub fn count(words: Vec<String>) -> BTreeMap<String, u32> {
        words.into_iter().fold(BTreeMap::new(), |mut counts, word| {
            *counts.entry(word).or_default() += 1;
            counts
        })
    }
    pub fn nothing() {}
    pub fn owned(data: Vec<u8>) -> Vec<u8> {
        data
    }
    pub fn cow(data: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        data
    }
    pub fn boxed(data: Box<[u8]>) -> Box<[u8]> {
        data
    }
    pub fn shared(data: Bytes) -> Bytes {
        data
    }
    pub fn maybe(data: Option<&[u8]>) -> Option<&[u8]> {
        data
    }
    pub fn maybe_owned(data: Option<Vec<u8>>) -> Option<Vec<u8>> {
        data
    }
    pub fn digest() -> [u8; 4] {
        [1, 2, 3, 4]
    }
    pub fn tagged(tag: u8, data: &[u8]) -> Vec<u8> {
        std::iter::once(tag).chain(data.iter().copied()).collect()
    }
    pub fn keep(data: &Bytes) {
        KEPT.lock().unwrap().push(data.clone());
    }
    pub fn r#match((a, b): (u8, u8)) -> bool {
        a == b
    }

    pub fn io_error() -> std::io::Result<()> {
        Err(std::io::Error::other("disk"))
    }
    pub fn boxed_error() -> Outcome<u8> {
        Err(Box::new("x".parse::<u8>().unwrap_err()))
    }
    pub fn plain_boxed_error() -> Result<u8, Box<dyn Error>> {
        Err("plain".into())
    }
    pub fn anyhow_error() -> anyhow::Result<u8> {
        let coded = polyloop::Error::new("app", "inner").rc(5);
        Err(anyhow::Error::new(coded).context("outer"))
    }
    pub fn text_error() -> Result<(), String> {
        Err("just text".to_owned())
    }
    pub fn str_error() -> Result<(), &'static str> {
        Err("static text")
    }
    pub fn coded_error() -> Result<(), polyloop::Error> {
        Err(polyloop::Error::new("no-city", "no such city").rc(404))
    }
    pub fn boom() -> u8 {
        panic!("sync {}", "boom")
    }
    pub fn strange_boom() {
        std::panic::panic_any(7_u8)
    }
    pub fn unencodable() -> Vec<Deep> {
        vec![Deep(200)]
    }
    pub struct Deep(u32);
    impl Serialize for Deep {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.0.checked_sub(1).map(Self))
        }
    }
    pub fn total(numbers: &[f64], more: Option<&[f32]>, again: Option<Vec<f64>>) -> f64 {
        let more = more.unwrap_or_default().iter().map(|number| f64::from(*number)).sum::<f64>();
        numbers.iter().sum::<f64>() + more + again.unwrap_or_default().iter().sum::<f64>()
    }
    pub fn lent(image: &polyloop::NdArray<'_, f64>, by: Box<[i32]>) -> polyloop::NdArray<'static, f64> {
        let numbers = image.iter().zip(by).map(|(number, by)| number * f64::from(by)).collect::<Vec<_>>();
        polyloop::NdArray::new(numbers, image.shape()).unwrap()
    }
    pub async fn slow_image(image: polyloop::NdArray<'_, f64>) -> polyloop::NdArray<'_, f64> {
        tokio::task::yield_now().await;
        image
    }
    pub fn unwriteable() -> Spiteful {
        Spiteful
    }
    pub struct Spiteful;
    impl Serialize for Spiteful {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("in serialize")
        }
    }

    pub async fn slow_add(a: i64, b: i64) -> i64 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        a + b
    }
    pub async fn slow_echo(data: &[u8]) -> &[u8] {
        tokio::task::yield_now().await;
        data
    }
    pub async fn slow_lent<'a>(point: &'a Point, name: &'a str) -> Result<&'a str, polyloop::Error> {
        tokio::task::yield_now().await;
        if point.x > 0 { Ok(name) } else { Err(polyloop::Error::new("negative", name)) }
    }
    pub async fn slow_boom() -> u8 {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::SeqCst);
            }
        }
        let _bomb = Bomb;
        tokio::task::yield_now().await;
        panic!("async boom")
    }
    pub async fn detached() -> u8 {
        tokio::spawn(async {
            polyloop::println!("from a task");
            3
        })
        .await
        .unwrap()
    }
    pub fn dropped() -> usize {
        DROPPED.load(Ordering::SeqCst)
    }
    pub fn in_tokio() -> bool {
        tokio::runtime::Handle::try_current().is_ok()
    }
    pub fn print(text: &str) {
        polyloop::println!("{text}");
        polyloop::eprintln!("{}", "error");
    }
    pub fn meet(parties: usize) {
        static HERE: std::sync::Mutex<usize> = std::sync::Mutex::new(0);
        static COME: std::sync::Condvar = std::sync::Condvar::new();
        let mut here = HERE.lock().unwrap();
        *here += 1;
        COME.notify_all();
        while *here < parties {
            here = COME.wait(here).unwrap();
        }
    }

    #[allow(dead_code)]
    fn private() {}
}

fn guest() -> Guest {
    start!(Options::default()).expect("the guest starts")
}

#[test]
fn the_manifest_names_every_pub_function_its_parameters_and_whether_it_is_async() {
    let guest = guest();
    let manifest = guest.manifest();
    let methods = manifest["methods"].as_array().unwrap();
    assert_eq!(methods[0], json!({"name": "handle", "params": ["data"], "async": false}));
    let find = |name: &str| methods.iter().find(|method| method["name"] == name);
    assert_eq!(find("slow_add").unwrap(), &json!({"name": "slow_add", "params": ["a", "b"], "async": true}));
    assert_eq!(find("match").unwrap()["params"], json!(["arg1"]));
    assert_eq!(find("private"), None);
    assert!(guest.unload());
}

#[test]
fn values_go_in_and_come_out_by_serde() {
    let guest = guest();
    let table = [
        ("add", json!([2, 40]), json!(42)),
        ("greet", json!(["Ada"]), json!("Hello, Ada!")),
        ("greet", json!(["Ada", null]), json!("Hello, Ada!")),
        ("greet", json!(["\"A\"\n", "?"]), json!("Hello, \"A\"\n?")),
        ("first_word", json!(["one two", "x"]), json!("one")),
        ("mirror", json!([{"x": 1, "y": 2}]), json!({"x": 2, "y": 1, "label": null})),
        ("sum", json!([[1, 2], {"x": 3, "y": 0}]), json!(6)),
        ("sum", json!([[1, 2], {"x": 3, "y": 0}, 10]), json!(16)),
        ("count", json!([["a", "b", "a"]]), json!({"a": 2, "b": 1})),
        ("match", json!([[1, 1]]), json!(true)),
        ("slow_add", json!([2, 40]), json!(42)),
        ("slow_lent", json!([{"x": 1, "y": 1}, "n\"ame"]), json!("n\"ame")),
        ("detached", json!([]), json!(3)),
        ("in_tokio", json!([]), json!(true)),
    ];
    for (name, arguments, result) in table {
        assert_eq!(guest.value(name, &arguments), result, "{name}{arguments}");
    }
    assert_eq!(guest.call("greet", 0, b"\"Bob\"").json(), json!("Hello, Bob!"));
    assert_eq!(guest.call("greet", FLAG_BYTES, b"Bob").json(), json!("Hello, Bob!"));
    assert!(guest.unload());
}

#[test]
fn bytes_come_back_as_bytes_for_every_byte_type() {
    let guest = guest();
    let data = (0..=255).collect::<Vec<u8>>();
    for name in ["handle", "owned", "cow", "boxed", "shared", "maybe", "maybe_owned", "slow_echo"] {
        let answer = guest.call(name, FLAG_BYTES, &data);
        assert_eq!((answer.status, answer.flags), (STATUS_OK, u32::from(FLAG_BYTES)), "{name}");
        assert_eq!(answer.data, data, "{name}");
        assert_eq!(guest.call(name, FLAG_BYTES, b"").data, b"", "{name}");
    }
    assert_eq!(guest.json("digest", &json!([])).data, [1, 2, 3, 4]);
    assert_eq!(guest.json("tagged", &json!([9, [1, 2]])).data, [9, 1, 2]);
    assert!(guest.unload());
}

#[test]
fn nothing_returned_is_an_empty_answer() {
    let guest = guest();
    for (name, flags, payload) in
        [("nothing", FLAG_EMPTY, ""), ("nothing", FLAG_SPREAD, "[]"), ("maybe", 0, "null")]
    {
        let answer = guest.call(name, flags, payload.as_bytes());
        assert_eq!((answer.status, answer.flags, answer.data.len()), (STATUS_OK, u32::from(FLAG_EMPTY), 0));
    }
    assert_eq!(guest.call("maybe_owned", FLAG_EMPTY, b"").flags, u32::from(FLAG_EMPTY));
    assert!(guest.unload());
}

#[test]
fn wrong_arguments_are_refused_with_what_the_function_takes() {
    let guest = guest();
    let table: [(&str, u8, &str, &[&str]); 12] = [
        ("add", FLAG_SPREAD, "[1]", &["add(a, b): argument `b`: it is missing"]),
        (
            "add",
            FLAG_SPREAD,
            "[1, \"2\"]",
            &["add(a, b): argument `b`: invalid type: string \"2\", expected i64"],
        ),
        ("add", FLAG_SPREAD, "[1, 2, 3]", &["add(a, b): it takes 2 arguments, and got more"]),
        ("add", FLAG_EMPTY, "", &["argument `a`: it is missing"]),
        ("add", FLAG_BYTES, "xx", &["argument `a`: invalid type: byte array, expected i64"]),
        ("add", FLAG_SPREAD, "[1, 2", &["add(a, b): "]),
        ("add", FLAG_SPREAD, "7", &["expected an array of arguments"]),
        ("nothing", 0, "7", &["nothing(): it takes no argument, and got one"]),
        ("nothing", FLAG_BYTES, "7", &["nothing(): it takes no argument, and got one"]),
        ("mirror", 0, "{\"x\": 1}", &["mirror(point): argument `point`: missing field `y`"]),
        (
            "handle",
            0,
            "\"text\"",
            &["argument `data`: invalid type: string \"text\", expected bytes (a Uint8Array)"],
        ),
        ("slow_add", FLAG_SPREAD, "[]", &["slow_add(a, b): argument `a`: it is missing"]),
    ];
    for (name, flags, payload, said) in table {
        let refusal = guest.call(name, flags, payload.as_bytes()).refusal();
        for part in said {
            assert!(refusal.starts_with("invalid-argument: ") && refusal.contains(part), "{refusal}");
        }
    }
    assert!(guest.call("greet", FLAG_BYTES, b"\xff").refusal().contains("not UTF-8"));
    assert!(guest.unload());
}

#[test]
fn every_kind_of_error_arrives_with_its_type_message_code_and_causes() {
    let guest = guest();
    let inner = json!({"code": "app", "type": "Error", "message": "inner", "rc": 5});
    let table = [
        ("io_error", json!({"type": "Error", "message": "disk"})),
        ("boxed_error", json!({"type": "ParseIntError", "message": "invalid digit found in string"})),
        ("plain_boxed_error", json!({"type": "Error", "message": "plain"})),
        ("anyhow_error", json!({"type": "Error", "message": "outer", "cause": inner})),
        ("text_error", json!({"type": "Error", "message": "just text"})),
        ("str_error", json!({"type": "Error", "message": "static text"})),
        ("coded_error", json!({"code": "no-city", "type": "Error", "message": "no such city", "rc": 404})),
    ];
    for (name, error) in table {
        assert_eq!(guest.json(name, &json!([])).error(), error, "{name}");
    }
    let refused = guest.json("slow_lent", &json!([{"x": 0, "y": 0}, "why"])).refusal();
    assert_eq!(refused, "negative: why");
    assert!(
        guest.json("unencodable", &json!([])).refusal().starts_with("invalid-result: unencodable(): json")
    );
    assert!(guest.unload());
}

/// An envelope with one array of `f64`.
fn envelope(text: &str, numbers: &[f64]) -> Vec<u8> {
    let at = (32 + text.len()).next_multiple_of(64);
    let mut payload = vec![1, 1, 0, 0];
    for word in [text.len(), 1, 0, at, 0, numbers.len() * 8, 0] {
        payload.extend_from_slice(&(word as u32).to_le_bytes());
    }
    payload.extend_from_slice(text.as_bytes());
    payload.resize(at, 0);
    payload.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    payload
}

#[test]
fn arrays_of_numbers_come_beside_other_arguments() {
    let guest = guest();
    let array = r#"{"~":["a",0,"<f8",[2]]}"#;
    let call = |text: &str| guest.call("total", FLAG_SPREAD, &envelope(text, &[1.0, 2.0])).json();
    assert_eq!(call(&format!("[{array},[0.5]]")), json!(3.5));
    assert_eq!(call(&format!("[[1],{array}]")), json!(4.0));
    assert_eq!(call(&format!("[[1],null,{array}]")), json!(4.0));
    assert_eq!(guest.call("total", FLAG_BYTES, &[1, 2]).json(), json!(3.0));
    assert_eq!(guest.value("total", &json!([[1, 2.5]])), json!(3.5));
    let refused = guest.call("total", 0, &envelope(r#"{"~":["a",0,"<f8",[2,1]]}"#, &[1.0, 2.0])).refusal();
    assert!(
        refused.contains("total(numbers, more, again): argument `numbers`: an array of the shape [2, 1]"),
        "{refused}"
    );
    let image = r#"{"~":["a",0,"<f8",[1,2]]}"#;
    let answer = guest.call("lent", FLAG_SPREAD, &envelope(&format!("[{image},[3,4]]"), &[1.0, 2.0])).data;
    assert_eq!(answer, envelope(image, &[3.0, 8.0]));
    assert_eq!(guest.call("slow_image", 0, &envelope(image, &[5.0, 6.0])).data, envelope(image, &[5.0, 6.0]));
    assert!(guest.unload());
}

#[test]
fn a_panic_is_an_error_with_its_place_and_the_guest_lives_on() {
    let guest = guest();
    for round in 1..=3 {
        let table = [("boom", "sync boom"), ("slow_boom", "async boom"), ("unwriteable", "in serialize")];
        for (name, message) in table {
            let error = guest.json(name, &json!([])).error();
            assert_eq!((&error["type"], &error["message"]), (&json!("panic"), &json!(message)));
            let stack = error["stack"].as_str().unwrap();
            assert!(stack.starts_with("at ") && stack.contains("tests/calls.rs:"), "{stack}");
        }
        assert_eq!(guest.json("strange_boom", &json!([])).error()["message"], "a panic without a message");
        assert_eq!(guest.value("add", &json!([1, 1])), 2);
        assert_eq!(guest.value("dropped", &json!([])), round);
    }
    assert!(guest.unload());
}

/// What a test gave to `keep`; other tests keep other bytes.
fn taken_back(data: &[u8]) -> polyloop::Bytes {
    let mut kept = functions::KEPT.lock().unwrap();
    let at = kept.iter().position(|bytes| **bytes == *data).expect("it was kept");
    kept.swap_remove(at)
}

#[test]
fn kept_bytes_hold_the_request_and_dropping_them_releases_it() {
    let guest = guest();
    let plain = guest.submit("shared", FLAG_BYTES, b"not kept");
    assert_eq!(guest.answer(plain).data, b"not kept");
    let id = guest.submit("keep", FLAG_BYTES, b"kept");
    guest.answer(id);
    let kept = taken_back(b"kept");
    assert!(guest.keeps(id));
    assert_eq!(&*kept, b"kept");
    drop(kept);
    guest.wait_until_released(id);
    assert!(guest.unload());
}

#[test]
fn an_unload_waits_for_calls_in_flight_and_for_kept_bytes() {
    let guest = guest();
    let slow = (0..50).map(|_| guest.submit("slow_add", FLAG_SPREAD, b"[1, 1]")).collect::<Vec<_>>();
    assert_eq!(slow.len(), 50);
    guest.answer(guest.submit("keep", FLAG_BYTES, b"until the unload"));
    let kept = taken_back(b"until the unload");
    let dropper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(&*kept, b"until the unload");
    });
    assert!(guest.unload());
    dropper.join().unwrap();
}

#[test]
fn sync_functions_run_on_as_many_threads_as_were_asked_for() {
    let guest = start!(Options { threads: 3, ..Options::default() }).unwrap();
    // Each waits for the others.
    let meetings = (0..3).map(|_| guest.submit("meet", FLAG_SPREAD, b"[3]")).collect::<Vec<_>>();
    for meeting in meetings {
        assert_eq!(guest.answer(meeting).status, STATUS_OK);
    }
    assert!(guest.unload());
}

#[test]
fn lines_reach_the_host_from_every_kind_of_thread() {
    let guest = guest();
    guest.json("print", &json!(["a\nb"]));
    assert_eq!(guest.lines(2), [(1, "a\nb\n".to_owned()), (2, "error\n".to_owned())]);
    guest.json("detached", &json!([]));
    assert_eq!(guest.lines(1), [(1, "from a task\n".to_owned())]);
    assert!(guest.unload());
}

#[test]
fn a_method_number_that_does_not_exist_is_refused_and_raw_sends_reach_handle() {
    let guest = guest();
    assert!(guest.answer(guest.submit_number(999, FLAG_EMPTY, b"")).refusal().contains("no such function"));
    assert_eq!(guest.answer(guest.submit_number(METHOD_RAW, FLAG_BYTES, b"raw")).data, b"raw");
    assert!(guest.unload());
}

#[test]
fn msgpack_carries_values_and_bytes_alike() {
    let guest = start!(Options { codec: "msgpack", ..Options::default() }).unwrap();
    let answer = guest.call("add", FLAG_SPREAD, &[0x92, 2, 40]);
    assert_eq!((answer.status, answer.data), (STATUS_OK, vec![42]));
    for name in ["handle", "owned", "shared", "cow"] {
        assert_eq!(guest.call(name, 0, &[0xc4, 2, 8, 9]).data, [8, 9], "{name}");
    }
    assert_eq!(guest.call("tagged", FLAG_SPREAD, &[0x92, 7, 0xc4, 2, 8, 9]).data, [7, 8, 9]);
    let point = b"\x82\xa1x\x01\xa1y\x02";
    assert_eq!(guest.call("mirror", 0, point).data, b"\x83\xa1x\x02\xa1y\x01\xa5label\xc0");
    let error = guest.call("add", FLAG_SPREAD, &[0x91, 2]).error();
    assert_eq!(error["code"], Value::from("invalid-argument"));
    assert!(guest.unload());
}
