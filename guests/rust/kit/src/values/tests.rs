// SPDX-License-Identifier: Apache-2.0
//! Values on their way: written by one side of the kit, and read by the other.
#![allow(
    clippy::float_cmp,
    clippy::needless_pass_by_value,
    clippy::expl_impl_clone_on_copy,
    reason = "what comes back is what went, to the last bit"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::values::array::{NdArray, Numbers};
use crate::values::bytes::{Bytes, Source};
use crate::values::codec::{Codec, Decode};
use crate::values::date::Date;
use crate::values::envelope::{Attached, DEEPEST, Envelope, NUMBERS_AT};
use crate::values::misfit::Misfit;
use crate::values::parameter::Binary;
use crate::values::write::write;

mod arrays;
mod hostile;
mod libraries;

struct Seeded<S>(S);

impl<S: Copy> Clone for Seeded<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Copy> Copy for Seeded<S> {}

impl<'de, S: DeserializeSeed<'de> + Copy> Decode<'de> for Seeded<S> {
    type Value = S::Value;
    fn decode<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(deserializer)
    }
}

struct Typed<T>(std::marker::PhantomData<T>);

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Typed<T> {}

impl<'de, T: Deserialize<'de>> Decode<'de> for Typed<T> {
    type Value = T;
    fn decode<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

fn read<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, Misfit> {
    Codec::Json.decode(payload, Typed(std::marker::PhantomData))
}

fn written<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut buffer = Vec::new();
    write(value, &mut buffer).unwrap();
    buffer
}

/// An envelope as the host writes it.
fn envelope(text: &str, attachments: &[&[u8]]) -> Vec<u8> {
    let mut attached = Attached::default();
    for bytes in attachments {
        attached.push(bytes, NUMBERS_AT);
    }
    let mut buffer = text.as_bytes().to_vec();
    attached.seal(&mut buffer).unwrap();
    buffer
}

fn floats(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(Envelope::of(payload).unwrap().text).unwrap()
}

#[track_caller]
fn returns<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, is_plain: bool) {
    let payload = written(&value);
    assert_eq!(payload[0] != 1, is_plain, "{}", String::from_utf8_lossy(&payload));
    if is_plain {
        assert_eq!(payload, serde_json::to_vec(&value).unwrap());
    }
    assert_eq!(read::<T>(&payload).unwrap(), value);
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(payload: &[u8], said: &str) {
    let misfit = read::<T>(payload).unwrap_err().to_string();
    assert!(misfit.contains(said), "{misfit}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(f64, f64),
    Named { name: String, at: Option<i64> },
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Level {
    Low,
    High,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    big: i128,
    huge: u128,
    ratio: f64,
    at: Date,
    picture: Bytes,
    #[serde(with = "serde_bytes")]
    more: Vec<u8>,
    rows: Vec<NdArray<'static, f32>>,
    shapes: Vec<Shape>,
    by_number: BTreeMap<i32, Option<String>>,
    #[serde(rename = "~")]
    tilde: u8,
}

fn record() -> Record {
    Record {
        id: u64::MAX,
        big: i128::MIN,
        huge: u128::MAX,
        ratio: f64::NEG_INFINITY,
        at: Date(-5),
        picture: Bytes::from(vec![1, 2, 3]),
        more: vec![7; 2000],
        rows: vec![NdArray::from(vec![0.1]), NdArray::new(vec![1.0; 6], &[2, 3]).unwrap()],
        shapes: vec![
            Shape::Point,
            Shape::Circle(-0.0),
            Shape::Line(1.0, 2.5),
            Shape::Named { name: "é\"\\".to_owned(), at: None },
        ],
        by_number: BTreeMap::from([(-1, None), (2, Some("x".to_owned()))]),
        tilde: 9,
    }
}

#[test]
fn what_is_plain_is_the_json_that_serde_json_writes() {
    returns(json!({"a": [1, -2, 1.5, 1e300, null, true, "é\u{1}\n\"\\"], "b": {}, "c": []}), true);
    returns((1_u8, -1_i8, 'x', 0.1_f32, "text".to_owned(), (), Some(5_u64)), true);
    returns(
        vec![Shape::Circle(1.0), Shape::Named { name: String::new(), at: Some(3) }, Shape::Line(0.5, 1.0)],
        true,
    );
    returns(vec![0.5; 63], true);
    returns(vec![1.0; 1000], true);
    returns(vec![0.1_f32; 1000], true);
    returns((1_u64 << 53) - 1, true);
    returns(-(1_i128 << 53) + 1, true);
    returns(HashMap::from([(Level::Low, 1)]), true);
    returns(BTreeMap::from([('x', [1])]), true);
    returns(vec![(); 100], true);
}

#[test]
fn what_json_cannot_carry_comes_back_as_it_went() {
    returns(record(), false);
    returns(vec![record(), record()], false);
    returns((1_u64 << 53, -(1_i64 << 53), i64::MIN, i128::MAX, u128::MAX), false);
    returns(vec![f64::INFINITY, f64::NEG_INFINITY], false);
    returns(vec![f32::INFINITY], false);
    returns(BTreeMap::from([((1, 2), vec!['a'])]), false);
    returns(BTreeMap::from([(vec![1], BTreeMap::from([(true, 'x')]))]), false);
    returns(BTreeMap::from([("~".to_owned(), 1), ("a".to_owned(), 2)]), false);
    returns(
        BTreeMap::from([("!:{".to_owned(), json!({"a:": "\\\":", "b": [1]})), ("~".to_owned(), json!(2))]),
        false,
    );
    returns(json!({"~": {"~": ["b", 0]}, "a": 1}), false);
    returns(serde_bytes::ByteBuf::from(vec![1, 2]), false);
    returns(NdArray::from(vec![1_u64, u64::MAX]), false);
    returns(NdArray::<f64>::new(vec![], &[3, 0]).unwrap(), false);
    returns(NdArray::<i8>::new(vec![-1], &[]).unwrap(), false);
    returns((0..100).map(|number| f64::from(number) + 0.5).collect::<Vec<_>>(), false);
    returns(vec![vec![0.5; 64], vec![1.5; 64]], false);
    let nan = read::<(f64, f64)>(&written(&(f64::NAN, -0.0))).unwrap();
    assert!(nan.0.is_nan() && nan.1.is_sign_negative());
}

#[test]
fn keys_of_both_kinds_make_pairs_of_those_before_them() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Key {
        Text(String),
        Number(u8),
    }
    let map = BTreeMap::from([
        (Key::Text("a:,".to_owned()), json!({"x": [":"]})),
        (Key::Text("~".to_owned()), json!(1)),
        (Key::Number(5), json!(2)),
    ]);
    let payload = written(&map);
    assert_eq!(text(&payload), r#"{"~":["m",["a:,",{"x":[":"]},"~",1,5,2]]}"#);
    assert_eq!(read::<BTreeMap<Key, Value>>(&payload).unwrap(), map);
}

#[test]
fn a_long_list_that_is_not_only_numbers_is_written_as_one() {
    let mut list = vec![json!(0.5); 70];
    list[1] = json!(3.0);
    list[2] = json!(7);
    returns(list.clone().into_iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>(), false);
    list[1] = json!(3);
    list[69] = json!("text");
    let payload = written(&list);
    assert_eq!(payload, serde_json::to_vec(&list).unwrap());
    list[69] = json!(u64::MAX);
    returns(list, false);
}

#[test]
fn what_serde_json_has_as_text_is_written_so() {
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::RawValue")]
    struct Raw(#[serde(rename = "$serde_json::private::RawValue")] &'static str);
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::RawValue")]
    struct RawStruct {
        #[serde(rename = "$serde_json::private::RawValue")]
        text: &'static str,
    }
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::Number")]
    struct Digits {
        #[serde(rename = "$serde_json::private::Number")]
        text: &'static str,
    }
    let _ = Raw("");
    assert_eq!(written(&[RawStruct { text: "{ \"a\": 1 }" }]), b"[{ \"a\": 1 }]");
    assert_eq!(text(&written(&[RawStruct { text: "{\"~\": 1}" }])), r#"[{"~":["o",["~",1]]}]"#);
    assert_eq!(written(&Digits { text: "1.50" }), b"1.50");
    assert_eq!(text(&written(&Digits { text: "9007199254740993" })), r#"{"~":["i","20000000000001"]}"#);
}

#[test]
fn integers_fit_or_are_refused_with_where_they_stand_and_the_range() {
    type User<T> = BTreeMap<String, BTreeMap<String, T>>;
    let payload = envelope(r#"{"user":{"age":{"~":["i","10000000000000000"]}}}"#, &[]);
    assert_eq!(read::<User<u128>>(&payload).unwrap()["user"]["age"], 1 << 64);
    assert_eq!(read::<User<f64>>(&payload).unwrap()["user"]["age"], 2_f64.powi(64));
    let said = ".user.age: 18446744073709551616 does not fit u64, which goes from 0 to 18446744073709551615";
    refused::<User<u64>>(&payload, said);
    refused::<User<i64>>(&payload, "from -9223372036854775808 to 9223372036854775807");
    refused::<User<String>>(&payload, ".user.age: invalid type: integer");
    let payload = envelope(r#"[{"~":["i","20000000000001"]}]"#, &[]);
    refused::<Vec<f64>>(&payload, "[0]: 9007199254740993 is no float without loss");
    assert_eq!(read::<Value>(&payload).unwrap(), json!([9_007_199_254_740_993_u64]));
    let payload = envelope(&format!(r#"{{"~":["i","-{}"]}}"#, "f".repeat(100)), &[]);
    refused::<i128>(&payload, "an integer of 100 hexadecimal digits does not fit i128");
    refused::<Value>(&payload, "fits no type of Rust: pass it as a string");
}

#[test]
fn numbers_that_json_has_not() {
    let payload = envelope(r#"[{"~":["n","NaN"]},{"~":["n","-0"]}]"#, &[]);
    assert_eq!(read::<(serde::de::IgnoredAny, i32)>(&payload).unwrap().1, 0);
    refused::<Vec<Value>>(&payload, "[0]: serde_json::Value has no NaN: take f64");
    refused::<Value>(&payload, "[0]: serde_json::Value has no NaN: take f64");
    refused::<Vec<i32>>(&payload, "[0]: invalid type: floating point `NaN`, expected i32");
}

#[test]
fn a_date_is_text_or_its_milliseconds() {
    let payload = envelope(r#"{"at":{"~":["d",1500,7]}}"#, &[]);
    assert_eq!(read::<BTreeMap<String, String>>(&payload).unwrap()["at"], "1970-01-01T00:00:01.500007Z");
    assert_eq!(read::<BTreeMap<String, i64>>(&payload).unwrap()["at"], 1500);
    assert_eq!(read::<BTreeMap<String, f64>>(&payload).unwrap()["at"], 1500.007);
    assert_eq!(read::<BTreeMap<String, Date>>(&payload).unwrap()["at"], Date(1500));
    refused::<BTreeMap<String, String>>(
        &envelope(r#"{"at":{"~":["d",8.64e15]}}"#, &[]),
        ".at: a Date before",
    );
    assert_eq!(text(&written(&[Date(5)])), r#"[{"~":["d",5]}]"#);
}

#[test]
fn maps_and_sets_and_undefined() {
    let payload = envelope(r#"{"~":["m",[1,"a",2,"b"]]}"#, &[]);
    assert_eq!(read::<HashMap<u8, String>>(&payload).unwrap()[&2], "b");
    assert_eq!(read::<Vec<(f64, char)>>(&payload).unwrap(), [(1.0, 'a'), (2.0, 'b')]);
    refused::<HashMap<String, String>>(&payload, "[\"key 0\"]: invalid type: integer `1`, expected a string");
    refused::<HashMap<u8, u8>>(&payload, "[\"value 0\"]: invalid type: string \"a\", expected u8");
    let payload = envelope(r#"{"~":["m",[[1,2],{"~":["m",[]]}]]}"#, &[]);
    assert_eq!(read::<BTreeMap<(u8, u8), BTreeMap<u8, u8>>>(&payload).unwrap()[&(1, 2)], BTreeMap::new());
    let payload = envelope(r#"{"~":["s",["a","b"]]}"#, &[]);
    assert_eq!(read::<BTreeSet<char>>(&payload).unwrap(), BTreeSet::from(['a', 'b']));
    assert_eq!(read::<Vec<char>>(&payload).unwrap(), ['a', 'b']);
    let payload = envelope(r#"[{"~":["u"]},{"~":["u"]}]"#, &[]);
    assert_eq!(read::<(Option<u8>, ())>(&payload).unwrap(), (None, ()));
    let payload = envelope(r#"{"~":["o",["~",1,"5",2]]}"#, &[]);
    assert_eq!(
        read::<BTreeMap<String, u8>>(&payload).unwrap(),
        BTreeMap::from([("~".into(), 1), ("5".into(), 2)])
    );
}

#[test]
fn what_does_not_fit_is_told_with_where_it_stands() {
    refused::<Vec<Vec<u8>>>(b"[[1], [2, 300]]", "[1][1]: 300 does not fit u8, which goes from 0 to 255");
    refused::<BTreeMap<String, u8>>(
        br#"{"a key": "x"}"#,
        "[\"a key\"]: invalid type: string \"x\", expected u8",
    );
    refused::<Vec<Shape>>(br#"["Point", {"Line": [1, "x"]}]"#, "[1].Line[1]: invalid type: string");
    refused::<Vec<Shape>>(br#"[{"Other": 1}]"#, "[0]: unknown variant `Other`");
    refused::<(u8, u8)>(b"[1, 2, 3]", "a list of 3 items is too long");
    refused::<Vec<u8>>(b"[1", "EOF while parsing a list");
    // In plain JSON there are no tags.
    assert_eq!(read::<Value>(br#"{"~":["u"]}"#).unwrap(), json!({"~": ["u"]}));
}
