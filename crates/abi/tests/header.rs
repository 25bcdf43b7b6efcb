// SPDX-License-Identifier: Apache-2.0
//! `spec/polyloop.h` is what C, Go and Java guests compile against: it must say what this crate
//! says.

use std::path::Path;

/// Set to rewrite the committed header instead of comparing it.
const REWRITE: &str = "POLYLOOP_WRITE_HEADER";

fn generated() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config =
        cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).expect("cbindgen.toml is readable");
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(crate_dir.join("src/lib.rs"))
        .generate()
        .expect("cbindgen understands src/lib.rs");
    let mut text = Vec::new();
    bindings.write(&mut text);
    in_words_of_c(&String::from_utf8(text).expect("the header is UTF-8"))
}

/// Doc comments name things as rustdoc links: C readers know them by their C names.
fn in_words_of_c(header: &str) -> String {
    let mut text = header.to_owned();
    for (rust, c) in [
        ("[`Host::respond`]", "`respond`"),
        ("[`Host::fail`]", "`fail`"),
        ("[`Host::receive`]", "`receive`"),
        ("[`Host::send`]", "`send`"),
        ("[`Join`]", "`pl_join_f`"),
    ] {
        text = text.replace(rust, c);
    }
    for group in ["KIND_", "FLAG_", "METHOD_", "STATUS_", "TAKE_", "RESPOND_", "STREAM_", "EVENT_", "ABI_"] {
        text = text.replace(&format!("[`{group}"), &format!("[`PL_{group}"));
        text = text.replace(&format!("`{group}*`"), &format!("`PL_{group}*`"));
    }
    text.replace("[`", "`").replace("`]", "`")
}

#[test]
fn the_committed_header_says_what_the_crate_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/polyloop.h");
    let wanted = generated();
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &wanted).expect("spec/polyloop.h is writable");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("spec/polyloop.h is committed");
    assert_eq!(committed, wanted, "run again with {REWRITE}=1 and commit spec/polyloop.h");
}

#[test]
fn every_public_constant_of_the_crate_is_in_the_header() {
    let source = include_str!("../src/lib.rs");
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": "));
    let names = constants.filter(|(_, rest)| !rest.starts_with("&str"));
    let header = generated();
    let mut seen = 0;
    for (name, _) in names {
        assert!(header.contains(&format!("#define PL_{name} ")), "{name} is not renamed in cbindgen.toml");
        seen += 1;
    }
    assert!(seen >= 15, "found only {seen} constants to look for");
}
