// SPDX-License-Identifier: Apache-2.0
//! Values that are too deep, and envelopes that are none.

use super::*;

/// Levels of a list, or of a map.
struct Nested(usize, bool);

impl Serialize for Nested {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0.checked_sub(1), self.1) {
            (None, _) => serializer.serialize_u64(u64::MAX),
            (Some(below), false) => serializer.collect_seq([Nested(below, false)]),
            (Some(below), true) => serializer.collect_map([(1, Nested(below, true))]),
        }
    }
}

#[test]
fn values_are_nested_as_deep_as_they_may_be_and_no_deeper() {
    for is_map in [false, true] {
        let payload = written(&Nested(DEEPEST, is_map));
        assert!(read::<serde::de::IgnoredAny>(&payload).is_ok());
        let error = write(&Nested(DEEPEST + 1, is_map), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "it is nested deeper than 127 levels");
    }
    for (open, close) in
        [("[", "]"), (r#"{"~":["m",[1,"#, "]]}"), (r#"{"~":["s",["#, "]]}"), (r#"{"a":"#, "}")]
    {
        let payload = envelope(&format!("{}null{}", open.repeat(100_000), close.repeat(100_000)), &[]);
        refused::<Value>(&payload, "it is nested deeper than 127 levels");
    }
}

#[test]
fn tags_that_are_none_are_refused() {
    let eight = [0; 8];
    for text in [
        r#"{"~":1}"#,
        r#"{"~":[]}"#,
        r#"{"~":["?"]}"#,
        r#"{"~":["u"],"a":1}"#,
        r#"{"a":1,"~":["u"]}"#,
        r#"{"~":["u",1]}"#,
        r#"{"~":["b"]}"#,
        r#"{"~":["b",1]}"#,
        r#"{"~":["b",-1]}"#,
        r#"[{"~":["b",0]},{"~":["b",0]}]"#,
        r#"{"~":["a",0,"<f8"]}"#,
        r#"{"~":["a",0,"<f8",[2]]}"#,
        r#"{"~":["a",0,">f8",[1]]}"#,
        r#"{"~":["a",0,"|u1",[0.5]]}"#,
        r#"{"~":["a",0,"|u1",[18446744073709551615,8]]}"#,
        r#"{"~":["i","0x1"]}"#,
        r#"{"~":["i",1]}"#,
        r#"{"~":["n","nan"]}"#,
        r#"{"~":["d",1e16]}"#,
        r#"{"~":["d",0.5]}"#,
        r#"{"~":["d",0,1000]}"#,
        r#"{"~":["m",[1]]}"#,
        r#"{"~":["m",1]}"#,
        r#"{"~":["o",[1,2]]}"#,
        r#"{"~":["s"]}"#,
        "",
        "1 2",
    ] {
        assert!(read::<serde::de::IgnoredAny>(&envelope(text, &[&eight])).is_err(), "{text}");
    }
    refused::<u8>(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "an envelope of version 2");
}

/// A generator of numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

#[test]
fn no_bytes_make_it_panic_or_read_beyond_them() {
    let cases = std::env::var("POLYLOOP_FUZZ_CASES").map_or(2000, |cases| cases.parse().unwrap());
    let samples = [
        written(&record()),
        written(&vec![vec![0.5; 64]; 3]),
        written(&BTreeMap::from([((1, 2), NdArray::new(vec![1_i16; 8], &[2, 2, 2]).unwrap())])),
        envelope(
            r#"{"~":["s",[{"~":["d",5,1]},{"~":["u"]},{"~":["o",["~",1]]},{"~":["a",0,"<f2",[4]]}]]}"#,
            &[&[9; 8]],
        ),
    ];
    let words: [&[u8]; 10] =
        [b"[", b"]", b"{", b"}", b"\"", b",", b"0", b"{\"~\":[\"m\",[", b"\xff", b"18446744073709551615"];
    let mut dice = Dice(7);
    for _ in 0..cases {
        let mut payload = samples[dice.roll(samples.len())].clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(payload.len().max(1)).min(payload.len());
            match dice.roll(5) {
                // The header is where most can go wrong.
                0 => payload[dice.roll(48)] = dice.roll(256) as u8,
                1 => payload.truncate(at.max(48)),
                2 => drop(payload.splice(at..at, words[dice.roll(words.len())].iter().copied())),
                3 => payload.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.roll(8)),
                _ => payload.iter_mut().skip(at).take(8).for_each(|byte| *byte = dice.roll(256) as u8),
            }
        }
        // What is read lies in memory that ends where the payload does.
        let payload = payload.into_boxed_slice();
        let _ = read::<Record>(&payload);
        let _ = read::<Value>(&payload);
        let _ = read::<Vec<Vec<f64>>>(&payload);
        let _ = Codec::Json.decode(&payload, Seeded(Numbers::<NdArray<'_, f64>>::NEW));
        let noise: Box<[u8]> =
            std::iter::once(1).chain((0..dice.roll(64)).map(|_| dice.roll(256) as u8)).collect();
        let _ = read::<Value>(&noise);
    }
}
