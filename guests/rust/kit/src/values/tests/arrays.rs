// SPDX-License-Identifier: Apache-2.0
//! Arrays of numbers, and bytes.

use super::*;

#[test]
fn a_typed_array_becomes_numbers_and_never_its_bytes() {
    let numbers = floats(&[1.0, 2.0]);
    let payload = envelope(r#"{"~":["a",0,"<f8",[2]]}"#, &[&numbers]);
    assert_eq!(read::<Vec<f64>>(&payload).unwrap().iter().sum::<f64>(), 3.0);
    assert_eq!(read::<(u8, i64)>(&payload).unwrap(), (1, 2));
    assert_eq!(read::<Value>(&payload).unwrap(), json!([1.0, 2.0]));
    assert_eq!(read::<HashSet<i32>>(&payload).unwrap(), HashSet::from([1, 2]));
    assert_eq!(Codec::Json.decode(&payload, Seeded(Numbers::<Vec<f64>>::NEW)).unwrap(), [1.0, 2.0]);
    assert_eq!(Codec::Json.decode(&payload, Seeded(Numbers::<Box<[u16]>>::NEW)).unwrap()[..], [1, 2]);
    refused::<String>(&payload, "invalid type: sequence, expected a string");
    refused::<Bytes>(
        &envelope(r#"{"~":["a",0,"<f8",[1]]}"#, &[&floats(&[0.5])]),
        "an array of numbers, expected bytes: pass",
    );
    refused::<[f64; 1]>(&payload, "an array of 2 is too long");
}

#[test]
fn numbers_of_another_type_fit_if_none_of_them_loses_anything() {
    let numbers = floats(&[1.0, 0.1]);
    let payload = envelope(r#"{"a":{"~":["a",0,"<f8",[2]]}}"#, &[&numbers]);
    refused::<BTreeMap<String, Vec<f32>>>(&payload, ".a[1]: 0.1 is no f32 without loss");
    refused::<BTreeMap<String, Vec<i32>>>(&payload, ".a[1]: 0.1 is no i32 without loss");
    refused::<BTreeMap<String, NdArray<'_, f32>>>(&payload, ".a[1]: 0.1 is no f32 without loss");
    let large = [(1_i64 << 53) + 1].map(i64::to_le_bytes).concat();
    let payload = envelope(r#"{"~":["a",0,"<i8",[1]]}"#, &[&large]);
    refused::<Vec<f64>>(&payload, "[0]: 9007199254740993 is no f64 without loss");
    assert_eq!(read::<Vec<i128>>(&payload).unwrap(), [(1 << 53) + 1]);
    // A list is JSON's numbers, wherever they lie.
    let payload = envelope(r#"{"~":["l",0]}"#, &[&numbers]);
    assert_eq!(read::<Vec<f32>>(&payload).unwrap(), [1.0, 0.1]);
    assert_eq!(read::<NdArray<'_, f32>>(&payload).unwrap().data(), [1.0, 0.1]);
    assert_eq!(read::<Value>(&payload).unwrap(), json!([1, 0.1]));
    refused::<Vec<i32>>(&payload, "[1]: invalid type: floating point `0.1`, expected i32");
}

#[test]
fn arrays_have_their_shape() {
    let payload = envelope(r#"{"~":["a",0,"<f8",[2,2]]}"#, &[&floats(&[1.0, 2.0, 3.0, 4.0])]);
    assert_eq!(read::<Vec<Vec<f64>>>(&payload).unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(read::<Vec<NdArray<'_, f32>>>(&payload).unwrap()[1].data(), [3.0, 4.0]);
    assert_eq!(read::<NdArray<'_, f64>>(&payload).unwrap().shape(), [2, 2]);
    let misfit = Codec::Json.decode(&payload, Seeded(Numbers::<Vec<f64>>::NEW)).unwrap_err();
    assert!(misfit.to_string().contains("shape [2, 2], expected one dimension"), "{misfit}");
    refused::<Vec<f64>>(&payload, "[0]: invalid type: sequence, expected f64");
    assert_eq!(
        serde_json::to_value(NdArray::new(vec![1, 2, 3, 4], &[2, 2]).unwrap()).unwrap(),
        json!([[1, 2], [3, 4]])
    );
}

#[test]
fn numbers_are_borrowed_where_they_lie_as_their_type_needs_it() {
    let payload = envelope(r#"{"~":["a",0,"<f8",[1]]}"#, &[&floats(&[1.5])]);
    // Once at a multiple of 8, once beside one.
    let mut memory = vec![0.0_f64; payload.len() / 8 + 2];
    let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
    for shift in [0, 1] {
        memory[shift..shift + payload.len()].copy_from_slice(&payload);
        let payload = &memory[shift..shift + payload.len()];
        let numbers =
            Codec::Json.decode(payload, Seeded(Numbers::<std::borrow::Cow<'_, [f64]>>::NEW)).unwrap();
        assert_eq!(*numbers, [1.5]);
        assert_eq!(matches!(numbers, std::borrow::Cow::Borrowed(_)), shift == 0);
    }
}

#[test]
fn bytes_are_bytes_wherever_they_stand() {
    let payload = envelope(r#"{"a":{"~":["b",0]}}"#, &[b"abc"]);
    assert_eq!(*read::<BTreeMap<String, Bytes>>(&payload).unwrap()["a"], *b"abc");
    assert_eq!(read::<BTreeMap<String, serde_bytes::ByteBuf>>(&payload).unwrap()["a"], b"abc");
    assert_eq!(read::<BTreeMap<String, &[u8]>>(&payload).unwrap()["a"], b"abc");
    assert_eq!(read::<BTreeMap<String, Vec<u8>>>(&payload).unwrap()["a"], b"abc");
    refused::<BTreeMap<String, u8>>(&payload, ".a: invalid type: byte array, expected u8");
    let payload = envelope(r#"{"~":["a",0,"|u1",[3]]}"#, &[b"abc"]);
    assert_eq!(
        Codec::Json.decode(&payload, Seeded(Binary::<Vec<u8>>::new(Source::NOWHERE))).unwrap(),
        b"abc"
    );
    assert_eq!(read::<serde_bytes::ByteBuf>(&payload).unwrap(), b"abc");
}
