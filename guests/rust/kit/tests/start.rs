// SPDX-License-Identifier: Apache-2.0
//! How a guest starts, and how it refuses to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use polyloop_abi::FLAG_EMPTY;
use polyloop_test_host::{Options, start};
use serde_json::json;

#[polyloop::guest]
mod functions {
    use std::sync::Mutex;

    #[derive(serde::Deserialize, Clone)]
    pub struct Config {
        name: String,
        fail: Option<String>,
        panic: Option<String>,
    }

    static NAME: Mutex<String> = Mutex::new(String::new());

    pub async fn init(config: Option<&Config>) -> Result<(), polyloop::Error> {
        tokio::task::yield_now().await;
        let Some(config) = config else { return Ok(()) };
        polyloop::println!("init of {}", config.name);
        if let Some(why) = &config.fail {
            return Err(polyloop::Error::new("bad-config", why.clone()).rc(42));
        }
        assert!(config.panic.is_none(), "init panics");
        (*NAME.lock().unwrap()).clone_from(&config.name);
        Ok(())
    }

    pub fn print_elsewhere() {
        std::thread::spawn(|| polyloop::println!("elsewhere")).join().unwrap();
    }

    pub fn name() -> String {
        NAME.lock().unwrap().clone()
    }
}

/// The guest's state is a static, and its threads print to the latest runtime: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn init_gets_the_config_and_may_print() {
    let _alone = alone();
    let guest = start!(Options { config: "{\"name\": \"ada\"}", ..Options::default() }).unwrap();
    assert_eq!(guest.call("name", FLAG_EMPTY, b"").json(), "ada");
    assert_eq!(guest.lines(1), [(1, "init of ada\n".to_owned())]);
    assert!(guest.unload());
}

#[test]
fn a_config_that_is_an_option_may_be_left_out() {
    let _alone = alone();
    assert!(start!(Options::default()).unwrap().unload());
}

#[test]
fn zero_threads_are_the_kits_own_number() {
    let _alone = alone();
    let guest = start!(Options { threads: 0, ..Options::default() }).unwrap();
    assert!(guest.call("name", FLAG_EMPTY, b"").json().is_string());
    assert!(guest.unload());
}

#[test]
fn an_init_that_fails_or_panics_fails_the_start_with_its_error() {
    let _alone = alone();
    let refused =
        start!(Options { config: r#"{"name": "x", "fail": "why"}"#, ..Options::default() }).err().unwrap();
    assert_eq!(refused.rc, 42);
    assert_eq!(refused.error, json!({"code": "bad-config", "type": "Error", "message": "why", "rc": 42}));
    let refused =
        start!(Options { config: r#"{"name": "x", "panic": "p"}"#, ..Options::default() }).err().unwrap();
    assert_eq!((refused.rc, &refused.error["type"]), (1, &json!("panic")));
}

#[test]
fn a_config_that_does_not_fit_is_told_apart() {
    let _alone = alone();
    for (config, said) in [("{}", "missing field `name`"), ("{", "EOF"), ("7", "expected struct Config")] {
        let refused = start!(Options { config, ..Options::default() }).err().unwrap();
        let message = refused.error["message"].as_str().unwrap();
        assert!(
            message.starts_with("init(config): argument `config`: ") && message.contains(said),
            "{message}"
        );
    }
}

#[test]
fn another_abi_or_an_unknown_codec_is_refused_in_words() {
    let refused = start!(Options { abi: 99, ..Options::default() }).err().unwrap();
    assert_ne!(refused.rc, 0);
    assert!(refused.error["message"].as_str().unwrap().contains("version 99"), "{refused:?}");
    let refused = start!(Options { codec: "cbor", ..Options::default() }).err().unwrap();
    assert!(refused.error["message"].as_str().unwrap().contains("`cbor`"), "{refused:?}");
}

#[test]
fn lines_from_a_thread_of_the_guests_own_reach_the_latest_runtime() {
    let _alone = alone();
    let guest = start!(Options::default()).unwrap();
    guest.call("print_elsewhere", FLAG_EMPTY, b"");
    assert_eq!(guest.lines(1), [(1, "elsewhere\n".to_owned())]);
    assert!(guest.unload());
}
